"""Asking a person in a terminal. Everything goes to stderr, so that stdout stays the result's."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import typer

from orchestrator.kernel import console

_YES = {"y", "yes"}
_NO = {"n", "no"}


def possible() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def heading(text: str, more: str = "") -> None:
    """Begin another part."""
    from rich.markup import escape

    note(f"\n[bold]{escape(text)}[/]" + (f"  [dim]{escape(more)}[/]" if more else ""))


def note(markup: str) -> None:
    """Something to read, folded at words."""
    console.err().print(markup, soft_wrap=False)


def wrong(text: str) -> None:
    """Why an answer can't be taken."""
    from rich.markup import escape

    note(f"  [red]×[/] {escape(text)}")


def line(prompt: str) -> str:
    """One line, shown as it is typed. Raises Abort at Ctrl-D."""
    with suppress(ImportError):
        import readline  # noqa: F401 - gives input() its editing keys
    if sys.stdout.isatty():
        try:
            return input(prompt)
        except EOFError:
            raise typer.Abort from None
    sys.stderr.write(prompt)
    sys.stderr.flush()
    text = sys.stdin.readline()
    if not text:
        raise typer.Abort
    return text.rstrip("\n")


def hidden(prompt: str) -> str:
    """One line that nobody sees. Raises Abort at Ctrl-D."""
    from getpass import getpass

    try:
        return getpass(prompt, stream=sys.stderr)
    except EOFError:
        raise typer.Abort from None


def hidden_lines(prompt: str) -> str:
    """Several lines that nobody sees, or those of a file whose path is given; a PEM ends by itself."""
    first = hidden(f"{prompt} (path of a file, or paste it): ")
    if not first.strip() or "-----BEGIN" not in first:
        path = Path(first.strip()).expanduser()
        return path.read_text(encoding="utf-8") if first.strip() and path.is_file() else first
    lines = [first]
    while lines[-1].strip() and "-----END" not in lines[-1]:
        lines.append(hidden(""))
    return "\n".join(lines) + "\n"


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
        table.add_row(str(at), Text(label), Text(explanation))
    console.err().print(table)


def _index(answer: str, options: Sequence[tuple[str, str]]) -> int | None:
    if answer.isdecimal():
        return int(answer) - 1 if 1 <= int(answer) <= len(options) else None
    same = [at for at, (label, _) in enumerate(options) if label.casefold() == answer.casefold()]
    return same[0] if same else None
