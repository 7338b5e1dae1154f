"""A connector's form as a conversation: every question that applies, each answer checked as it is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr

from orchestrator.domains.catalog import rules
from orchestrator.domains.catalog.errors import InvalidValueError
from orchestrator.domains.catalog.rules import walk
from orchestrator.domains.catalog.types import Connector, FieldKind, FormField
from orchestrator.domains.integrations.cli import asking
from orchestrator.kernel import console


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is asked, and what is known before.

    secrets_set:  secrets that are stored already, with since when in words; left empty they stay
    app:          client id and secret of the registered OAuth app, None where there is none
    """

    connector: Connector
    variant: str
    allow_private: bool
    secrets_set: Mapping[str, str] = field(default_factory=dict)
    app: tuple[SecretStr, SecretStr] | None = None

    def asked(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """Every answer, those before offered as defaults; asks for the advanced ones only where that is wanted.

        Secrets that would go somewhere else than where they were given for are asked for again in the end.
        """
        answers: dict[str, Any] = {}
        seen: set[str] = set()
        group = ""
        advanced: bool | None = None
        while (question := self._next(answers, seen)) is not None:
            seen.add(question.name)
            known = walk.at(before, question.path)
            if question.advanced and advanced is None:
                advanced = asking.confirmed(f"\nChange {question.group.lower()} settings?", default=False)
            if (question.advanced and not advanced) or self._filled(question, answers):
                if known is not None:
                    walk.put(answers, question.path, known)
                continue
            if question.group != group:
                group = question.group
                asking.heading(group)
            value = self._ask(question, answers, known, self.secrets_set)
            if value is not None:
                walk.put(answers, question.path, value)
        return self._secured(before, answers)

    def _secured(self, before: Mapping[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
        """The answers with those secrets that must be given again."""
        questions = {one.name: one for one in rules.fields(self.connector, answers, variant=self.variant)}
        kept = [
            name for name in self.secrets_set if name in questions and walk.at(answers, questions[name].path) is None
        ]
        for name, why in rules.to_give_again(self.connector, before, answers, kept=kept, variant=self.variant):
            asking.wrong(why)
            stored = {other: since for other, since in self.secrets_set.items() if other != name}
            value = self._ask(replace(questions[name], required=True), answers, None, stored)
            walk.put(answers, questions[name].path, value)
        return answers

    def _next(self, answers: Mapping[str, Any], seen: set[str]) -> FormField | None:
        """The first question that was not asked; which there are depends on the answers."""
        questions = rules.fields(self.connector, answers, variant=self.variant)
        return next((question for question in questions if question.name not in seen), None)

    def _filled(self, question: FormField, answers: dict[str, Any]) -> bool:
        """Take what the registered OAuth app knows, instead of asking."""
        if self.app is None or question.filled_by is None or question.path[-1] not in {"client_id", "client_secret"}:
            return False
        client_id, client_secret = self.app
        is_id = question.path[-1] == "client_id"
        walk.put(answers, question.path, client_id.get_secret_value() if is_id else client_secret)
        return True

    def _ask(self, question: FormField, answers: Mapping[str, Any], known: Any, stored: Mapping[str, str]) -> Any:
        """One answer that fits; asks again, with the reason, until it does. stored: secrets that may be left empty."""
        default = known if known is not None else question.default
        if question.help and question.kind is not FieldKind.CHOICE:
            asking.note(f"[dim]{console.escaped(question.help)}[/]")
        ask = _WAYS.get(question.kind, _ask_text)
        while True:
            try:
                typed = ask(question, default, stored.get(question.name))
                value = default if typed == "" else rules.parse(question, typed)
            except (InvalidValueError, OSError, UnicodeDecodeError) as error:
                asking.wrong(error.message if isinstance(error, InvalidValueError) else f"It can't be read: {error}.")
                continue
            problem = self._problem(question, answers, value)
            if problem is None and value is None and question.required and question.name not in stored:
                problem = f"{question.title} is missing."
            if problem is None:
                return value
            asking.wrong(problem)

    def _problem(self, question: FormField, answers: Mapping[str, Any], value: Any) -> str | None:
        """What is wrong with this answer, given the others."""
        with_it = rules.join(answers, {})
        if value is not None:
            walk.put(with_it, question.path, value)
        problems = rules.validate(
            self.connector,
            with_it,
            secrets_set=frozenset(self.secrets_set),
            variant=self.variant,
            allow_private=self.allow_private,
        )
        return next((problem.message for problem in problems if problem.path == question.name), None)


def _ask_text(question: FormField, default: Any, _since: str | None) -> str:
    shown = _shown(default)
    example = f" (like {question.placeholder})" if question.placeholder and not shown else ""
    optional = "" if question.required or shown else ", optional" if example else " (optional)"
    if example and optional:
        example = example.replace(")", f"{optional})")
        optional = ""
    return asking.line(f"{question.title}{example}{optional}{f' [{shown}]' if shown else ''}: ").strip()


def _ask_secret(question: FormField, _default: Any, since: str | None) -> str:
    return asking.hidden(f"{question.title} ({_secret_words(question, since)}): ")


def _ask_secret_lines(question: FormField, _default: Any, since: str | None) -> str:
    kept = f" (set {since}, empty keeps it)" if since else ""
    return asking.hidden_lines(f"{question.title}{kept}")


def _secret_words(question: FormField, since: str | None) -> str:
    if since:
        return f"set {since}, empty keeps it"
    return "hidden" if question.required else "hidden, optional"


def _ask_choice(question: FormField, default: Any, _since: str | None) -> str:
    values = [choice.value for choice in question.choices]
    asking.note(
        f"{console.escaped(question.title)}" + (f"  [dim]{console.escaped(question.help)}[/]" if question.help else "")
    )
    at = asking.picked(
        [(choice.label, choice.help) for choice in question.choices],
        default=values.index(default) if default in values else None,
    )
    return values[at]


def _ask_boolean(question: FormField, default: Any, _since: str | None) -> str:
    if default is None:
        return _ask_text(question, default, None)
    return "yes" if asking.confirmed(f"{question.title}?", default=bool(default)) else "no"


def _shown(default: Any) -> str:
    if default is None:
        return ""
    return ", ".join(map(str, default)) if isinstance(default, list) else str(default)


_WAYS: Mapping[FieldKind, Callable[[FormField, Any, str | None], str]] = {
    FieldKind.SECRET: _ask_secret,
    FieldKind.MULTILINE_SECRET: _ask_secret_lines,
    FieldKind.CHOICE: _ask_choice,
    FieldKind.BOOLEAN: _ask_boolean,
}
