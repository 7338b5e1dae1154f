"""What the command line shows: the result on stdout, everything else on stderr.

rich is imported only where something is drawn, so that plain answers stay fast. What comes from outside may hold
anything: control characters are taken out of all that is shown, and markup and emoji codes stand as they were written.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.kernel.errors import UsageError
from orchestrator.kernel.printable import cleaned, escaped_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


_WIDEST = 4000  # columns of what goes into a file or a pipe: other programs read lines, not folded cells
_GAP = 2  # between the columns of a table
_BEGINNING = 19  # of an id, where there is no room for all of it: to the millisecond, and 14 bits of chance
_NARROWEST = 4
_LONG_WORD = 20  # a longer one may be cut before columns are left out, and before others are
_ID = re.compile("[a-z]+_[0-9a-z]{26}")
_WORD = re.compile(r"(?:[●○◐×✓⚠≈] )?\S+")  # a mark stays with what it says


def out() -> "Console":
    """Where results are drawn."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDEST
    return Console(highlight=False, emoji=False, soft_wrap=True, width=width)


def err() -> "Console":
    """Where everything else goes: progress, notes, errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def show_json(data: Any) -> None:
    """Print one JSON document: dates as ISO 8601, enums as their value, durations in seconds."""
    document = json.dumps(data, default=_plain, indent=2, ensure_ascii=False)
    sys.stdout.write(escaped_json(document) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def show_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    empty: str,
    numeric: Sequence[str] = (),
    whole: Sequence[str] = (),
    spare: Sequence[str] = (),
    below: str = "",
    header: bool = True,
    every: bool = False,
) -> None:
    """Draw a table, or the sentence for an empty one on stderr.

    every: columns in which no row says anything are shown, too; else they are left out
    Where there is too little room for it as it is:
    below:  what this column says comes on lines of its own, below the row
    spare:  these columns are left out, the first one first, as long as words would be cut otherwise
    whole:  values of these columns are folded last
    """
    if not rows:
        say(empty)
        return
    cells = [[cleaned(_cell(value)) for value in row] for row in rows]
    there = [
        _Column(cleaned(name) if header else "", values, whole=name in whole, numeric=name in numeric)
        for name, values in zip(columns, zip(*cells, strict=True), strict=True)
    ]
    named = {name: column for name, column in zip(columns, there, strict=True) if every or any(column.values)}
    room = out().width
    notes: Sequence[str] = ()
    if below and below in named and _needed(column.full for column in named.values()) > room:
        notes = named.pop(below).values
    for name in spare:
        if name in named and _needed(column.usual for column in named.values()) > room:
            del named[name]
    shown = list(named.values())
    _draw(shown, _widths(shown, room - _GAP * (len(shown) - 1)), notes, header=header)


class _Column:
    """A column, and how wide it is: all of it, with ids cut to their beginnings, as its longest word, or as usual."""

    def __init__(self, name: str, values: Sequence[str], *, whole: bool, numeric: bool) -> None:
        from rich.cells import cell_len

        self.name, self.values, self.numeric = name, values, numeric
        self.ids = any(map(_ID.fullmatch, values))
        self.full = max(map(cell_len, (name, *values)))
        words = [*_WORD.findall(name), *(values if whole else _WORD.findall("\n".join(values)))]
        self.begun = _BEGINNING if self.ids else self.full
        self.words = _BEGINNING if self.ids else max(map(cell_len, words), default=0)
        self.usual = _BEGINNING if self.ids else min(self.words, _LONG_WORD)


def _needed(widths: Iterable[int]) -> int:
    all_of_them = list(widths)
    return sum(all_of_them) + _GAP * (len(all_of_them) - 1)


def _widths(columns: Sequence[_Column], room: int) -> list[int]:
    """How wide each column is drawn, so that all fit.

    Ids give way first, as the beginning of one names it, too. Then the widest, down to its longest word, or to its
    longest value where that stays whole; then what has longer words than usual; and if that is still too much, the
    widest without regard to words.
    """
    widths = [column.full for column in columns]
    for least in (
        [column.begun for column in columns],
        [column.words for column in columns],
        [column.usual for column in columns],
        [_NARROWEST] * len(columns),
    ):
        while sum(widths) > room:
            wide = [index for index, width in enumerate(widths) if width > least[index]]
            if not wide:
                break
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _draw(columns: Sequence[_Column], widths: Sequence[int], notes: Sequence[str], *, header: bool) -> None:
    """Rows in one table; with notes, each in one of its own, with its note below."""
    from rich.padding import Padding
    from rich.table import Table

    def table(rows: Sequence[Sequence[str]], *, header: bool) -> Table:
        made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, show_header=header)
        for column, width in zip(columns, widths, strict=True):
            side: Literal["left", "right"] = "right" if column.numeric else "left"
            overflow: Literal["fold", "ellipsis"] = "ellipsis" if column.ids else "fold"
            made.add_column(_text(column.name), justify=side, overflow=overflow, no_wrap=column.ids, width=width)
        for row in rows:
            made.add_row(*map(_text, row))
        return made

    rows = list(zip(*(column.values for column in columns), strict=True))
    if not notes:
        out().print(table(rows, header=header))
    for index, (row, note) in enumerate(zip(rows, notes, strict=False)):
        out().print(table([row], header=header and index == 0))
        if note:
            out().print(Padding(_text(note), (0, 0, 0, _GAP)), soft_wrap=False)


def show_facts(facts: Mapping[str, Any]) -> None:
    """Draw one thing's properties, a line each."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False, show_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(_text(name), _text(_cell(value)))
    out().print(table)


def show_heading(text: str) -> None:
    """Begin another part of a longer answer."""
    from rich.text import Text

    out().print(Text(f"\n{cleaned(text)}", style="bold"))


def show_text(text: str, more: str = "") -> None:
    """One line of a longer answer, with something less important after it."""
    line = _text(text)
    if more:
        line.append(f"  {cleaned(more)}", style="dim")
    out().print(line, soft_wrap=False)


def escaped(text: str) -> str:
    """The text on one line, without what steers a terminal, to stand where markup is read."""
    from rich.markup import escape

    return escape(cleaned(text))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, datetime):
        return ago(value)
    return str(value)


def _text(text: str) -> "Text":
    """The text on one line, as it is written."""
    from rich.text import Text

    return Text(cleaned(text))


def ago(moment: datetime) -> str:
    """How long ago, in one unit."""
    seconds = (datetime.now(tz=moment.tzinfo) - moment).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now" if seconds < 10 else f"{int(seconds)} s ago"  # noqa: PLR2004 - nobody counts these


def show_lines(text: str) -> None:
    """Lines of the result as they are, one or more, without what steers a terminal."""
    typer.echo(cleaned(text, lines=True))


def show_json_line(data: Any) -> None:
    """One JSON document on a line of its own, for answers that go on."""
    typer.echo(escaped_json(json.dumps(data, default=_plain, ensure_ascii=False)))


def say(text: str) -> None:
    """A note for the person, on stderr."""
    sys.stderr.write(cleaned(text, lines=True) + "\n")


def agreed(question: str, *, what: str) -> bool:
    """Whether the person says yes. Where nobody can be asked, an error says that `what` needs it."""
    if not sys.stdin.isatty():
        raise UsageError(f"{what} needs a yes.", hint="Say it: --yes.")
    return typer.confirm(question, err=True)


def complain(message: str, hint: str = "") -> None:
    """An error for the person: what happened, then what to do."""
    message, hint = cleaned(message, lines=True), cleaned(hint, lines=True)
    below = hint.replace("\n", "\n  ")
    if sys.stderr.isatty():
        from rich.markup import escape

        err().print(f"[bold red]×[/] {escape(message)}" + (f"\n  [dim]{escape(below)}[/]" if hint else ""))
    else:
        sys.stderr.write(f"Error: {message}\n" + (f"  {below}\n" if hint else ""))
