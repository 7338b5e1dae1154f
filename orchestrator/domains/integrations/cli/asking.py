"""Asking a person in a terminal. Everything goes to stderr, so that stdout stays the result's."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from orchestrator.kernel import console
from orchestrator.kernel.printable import cleaned

_YES = {"y", "yes"}
_NO = {"n", "no"}
_LONGEST_PATH = 4096


def possible() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def heading(text: str, more: str = "") -> None:
    """Begin another part."""
    note(f"\n[bold]{console.escaped(text)}[/]" + (f"  [dim]{console.escaped(more)}[/]" if more else ""))


def note(markup: str) -> None:
    """Something to read, folded at words."""
    console.err().print(markup, soft_wrap=False)


def wrong(text: str) -> None:
    """Why an answer can't be taken."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_row("[red]  ×[/]", Text(cleaned(text)))
    console.err().print(table)


def line(prompt: str) -> str:
    """One line, shown as it is typed. Raises Abort at Ctrl-D."""
    if not sys.stdout.isatty():
        return _read(prompt)
    with suppress(ImportError):
        import readline  # noqa: F401 - gives input() its editing keys
    try:
        return input(prompt)
    except EOFError:
        raise typer.Abort from None


def _read(prompt: str) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    text = sys.stdin.readline()
    if not text:
        raise typer.Abort
    return text.rstrip("\r\n")


def hidden(prompt: str) -> str:
    """One line that nobody sees. Raises Abort at Ctrl-D."""
    with _unseen():
        return _read(prompt)


def hidden_lines(prompt: str) -> str:
    """Several lines that nobody sees, or those of a file whose path is given.

    A pasted PEM ends by itself, anything else with an empty line. Raises OSError where the file can't be read.
    """
    with _unseen():
        lines = [_read(f"{prompt} (path of a file, or paste it): ")]
        path = Path(lines[0].strip()).expanduser()
        if lines[0].strip() and len(lines[0]) < _LONGEST_PATH and path.is_file():
            return path.read_text(encoding="utf-8")
        while lines[-1].strip() and "-----END" not in lines[-1]:
            lines.append(_read(""))
    return "\n".join(lines).strip()


@contextmanager
def _unseen() -> Iterator[None]:
    """What is typed or pasted meanwhile is not shown, and none of it is lost between two lines."""
    import termios

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    without_echo = [*before]
    without_echo[3] = before[3] & ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, without_echo)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        sys.stderr.write("\n")


def confirmed(question: str, *, default: bool) -> bool:
    """A yes or a no."""
    while True:
        answer = line(f"{question} [{'Y/n' if default else 'y/N'}] ").strip().lower()
        if not answer:
            return default
        if answer in _YES | _NO:
            return answer in _YES
        wrong("Answer yes or no.")


def picked(options: Sequence[tuple[str, str]], *, default: int | None = None, prompt: str = "Number") -> int:
    """The index of one of several answers, listed with numbers; each is (label, explanation)."""
    listed(options)
    suffix = f" [{default + 1}]" if default is not None else ""
    while True:
        answer = line(f"{prompt}{suffix}: ").strip()
        index = default if not answer else _index(answer, options)
        if index is not None:
            return index
        wrong(f"Give a number from 1 to {len(options)}.")


def listed(options: Sequence[tuple[str, str]]) -> None:
    """Answers with their numbers."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, show_edge=False, padding=(0, 1), pad_edge=True)
    table.add_column(justify="right", style="bold")
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    for at, (label, explanation) in enumerate(options, 1):
        table.add_row(str(at), Text(cleaned(label)), Text(cleaned(explanation)))
    console.err().print(table)


def _index(answer: str, options: Sequence[tuple[str, str]]) -> int | None:
    if answer.isdecimal():
        return int(answer) - 1 if 1 <= int(answer) <= len(options) else None
    same = [at for at, (label, _) in enumerate(options) if label.casefold() == answer.casefold()]
    return same[0] if same else None
