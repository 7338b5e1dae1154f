"""How commands present themselves: help as plain text that folds anywhere, commands grouped by what people want to do.

First lines of docstrings are what lists of commands show; a test holds them to one form. Paragraphs of a docstring are
folded, those with indented lines stand as they are.
"""

import inspect
import re
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

SECTIONS = {
    "Start": ("demo", "init", "doctor", "up"),
    "Connect": ("connectors", "add", "integrations", "test", "discover", "streams"),
    "Sync": ("sync", "plan", "backfill", "runs", "state", "schedules", "health", "query"),
    "Operate": ("worker", "workers", "retries", "secrets", "migrate", "db"),
    "Look inside": ("render", "export", "sandbox"),
}
EPILOG = "Every result is there as --json, too. Exit codes: docs/command-line.md."
_FOLDED_AT = 78  # columns
_CHOICES = 24  # characters of choices that stand beside an option; longer ones go into its help


class _Plain:
    """What commands and groups have in common."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line: arguments in capitals, those that must be given without braces."""
        pieces = super().collect_usage_pieces(ctx)  # type: ignore[misc]  # of the class that this is mixed into
        return [re.sub(r"^\{(.*)\}", r"\1", piece).upper() for piece in pieces]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as the class has it
        """The docstring, paragraph by paragraph."""
        for paragraph in inspect.cleandoc(getattr(self, "help", None) or "").split("\n\n"):
            formatter.write_paragraph()
            with formatter.indentation():
                if re.search(r"^ ", paragraph, re.MULTILINE):
                    formatter.write("".join(f"  {line}".rstrip() + "\n" for line in paragraph.splitlines()))
                else:
                    formatter.write_text(paragraph)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, options, and the commands of a group."""
        parts: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):  # type: ignore[attr-defined]  # of the class that this is mixed into
            record = parameter.get_help_record(ctx)
            if record is not None:
                part = "Arguments" if isinstance(parameter, TyperArgument) else "Options"
                parts[part].append(_row(parameter, *record))
        for title, rows in parts.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        if isinstance(self, TyperGroup):
            self.format_commands(ctx, formatter)


def _row(parameter: Any, name: str, text: str) -> tuple[str, str]:
    """A parameter's line: what stands for its value is a word, not a type of Python's."""
    found = re.search(r" <([^>]*)>$", name)
    if isinstance(parameter, TyperArgument):
        name, text = name.partition(" <")[0].upper(), text.replace("  [required]", "")
    if found is None:
        return name, text
    choices = re.search(r"\w+(\|\w+)+", found[1])
    if isinstance(parameter, TyperArgument):
        return name, f"{text} {_one_of(choices[0])}" if choices else text
    before = name[: found.start()]
    if choices and len(choices[0]) <= _CHOICES:
        return f"{before} {choices[0]}", text
    value = "N" if found[1].startswith("int") else re.split(r"[- ]", before)[-1].upper()
    return f"{before} {value}", f"{text} {_one_of(choices[0])}" if choices else text


def _one_of(choices: str) -> str:
    *others, last = choices.split("|")
    return f"One of {', '.join(others)} and {last}."


class Command(_Plain, TyperCommand):
    """A command with help as above."""


class Group(_Plain, TyperGroup):
    """A group of commands, likewise."""


class Root(Group):
    """The program: its commands in sections."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Those that are mounted, in the order of SECTIONS."""
        for title, names in SECTIONS.items():
            there = [(name, command) for name in names if (command := self.get_command(ctx, name))]
            if there:
                with formatter.section(title):
                    formatter.write_dl([(name, command.get_short_help_str(_FOLDED_AT)) for name, command in there])


def dress(app: typer.Typer) -> None:
    """Let every command and group below an application present itself so."""
    for command in app.registered_commands:
        command.cls = Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            group.cls = Group
            group.typer_instance.rich_markup_mode = None
            dress(group.typer_instance)
