"""Choosing streams after a discovery, as a conversation."""

from collections.abc import Sequence

from orchestrator.domains.integrations import rules, service
from orchestrator.domains.integrations.cli import asking, showing
from orchestrator.domains.integrations.types import Integration
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import console

_LISTED = 30


def pick(drivers: Drivers, integration: Integration) -> None:
    """Show what there is, what is suggested, and take names and patterns."""
    known = [stream for stream in service.streams(drivers, integration) if stream.gone_at is None]
    names = [stream.name for stream in known]
    suggested = [stream.name for stream in known if stream.selected]
    asking.heading("What to sync", f"{len(names):,} streams")
    if not names:
        console.say("There is nothing to read yet.")
        return
    _show(names, set(suggested), whole=len(names) <= _LISTED)
    asking.note("[dim]Names and patterns, with commas between: Account, Opp*. A - in front leaves out. ? lists all.[/]")
    default = "as marked" if suggested else "all" if len(names) <= _LISTED else "none"
    standard = set(names) if default == "all" else set(suggested)
    while True:
        answer = asking.line(f"Streams [{default}]: ").strip()
        if answer == "?":
            _show(names, set(suggested), whole=True)
            continue
        chosen = standard if not answer else understood(answer, names, suggested)
        if chosen is not None:
            break
    service.choose_only(drivers, integration, sorted(chosen))
    console.say(f"Selected: {showing.few(sorted(chosen)) or 'nothing'}.")


def understood(answer: str, names: Sequence[str], suggested: Sequence[str]) -> set[str] | None:
    """The streams an answer means; None, and said why, where a pattern fits none.

    Patterns alone say all that is read; where there are only ones with - or + they change what is suggested.
    """
    parts = [part.strip() for part in answer.split(",") if part.strip()]
    patterns = ["*" if part == "all" else part for part in parts]
    plain = [pattern.lstrip("+-") for pattern in patterns]
    fitting = rules.matching(plain, names)
    for pattern in plain:
        if not fitting[pattern]:
            asking.wrong(f"No stream fits '{pattern}'.")
            return None
    changes_only = all(pattern.startswith(("-", "+")) for pattern in patterns)
    chosen = set(suggested) if changes_only else set()
    for pattern in patterns:
        found = fitting[pattern.lstrip("+-")]
        chosen = chosen - set(found) if pattern.startswith("-") else chosen | set(found)
    return chosen


def _show(names: Sequence[str], marked: set[str], *, whole: bool) -> None:
    from rich.columns import Columns

    shown = names if whole else [name for name in names if name in marked]
    cells = [
        f"[green]●[/] {console.escaped(name)}" if name in marked else f"[dim]○ {console.escaped(name)}[/]"
        for name in shown
    ]
    if cells:
        console.err().print(Columns(cells, padding=(0, 2), column_first=True), soft_wrap=False)
