"""From what a person typed to the value of a field."""

import json
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from orchestrator.domains.catalog.errors import InvalidValueError
from orchestrator.domains.catalog.rules import checking
from orchestrator.domains.catalog.types import FieldKind, FormField

_YES = {"yes", "y", "true", "on", "1"}
_NO = {"no", "n", "false", "off", "0"}


def parse(field: FormField, text: str) -> Any:
    """The typed value of a text; None where it is blank, a SecretStr where the field is secret.

    Lists are one entry a line, or separated by commas, or JSON. Choices go by value or by label.
    What needs the other answers too is left to `validate`. Raises InvalidValueError with one sentence.
    """
    if field.kind is FieldKind.SECRET:
        text = text.strip("\r\n")
    elif field.kind is not FieldKind.MULTILINE_SECRET:
        text = text.strip()
    if not text.strip():
        return None
    value = _READERS.get(field.kind, _text)(field, text)
    if field.schema.get("oneOf"):
        return value
    wrong = checking.problems_of(field.schema, field.title, value)
    if wrong:
        raise InvalidValueError(field.name, wrong[0])
    return SecretStr(value) if field.secret else value


def _text(_field: FormField, text: str) -> str:
    return text


def _choice(field: FormField, text: str) -> str:
    for choice in field.choices:
        if text.casefold() in {choice.value.casefold(), choice.label.casefold()}:
            return choice.value
    raise InvalidValueError(
        field.name,
        f"{field.title}: '{text[:60]}' is not one of {', '.join(choice.value for choice in field.choices)}.",
    )


def _boolean(field: FormField, text: str) -> bool:
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    raise InvalidValueError(field.name, f"{field.title}: answer yes or no.")


def _integer(field: FormField, text: str) -> int:
    try:
        return int(text.replace(",", "").replace(" ", ""))
    except ValueError:
        raise InvalidValueError(field.name, f"{field.title}: '{text[:60]}' is not a whole number.") from None


def _number(field: FormField, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidValueError(field.name, f"{field.title}: '{text[:60]}' is not a number.") from None


def _list(field: FormField, text: str) -> list[Any]:
    if text.startswith("["):
        return list(_json(field, text, list, "a list"))
    parts = text.splitlines() if "\n" in text else text.split(",")
    return [part.strip() for part in parts if part.strip()]


def _object(field: FormField, text: str) -> dict[str, Any]:
    return dict(_json(field, text, dict, "an object"))


def _json(field: FormField, text: str, wanted: type, words: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, wanted):
        raise InvalidValueError(field.name, f"{field.title} is not {words} in JSON.")
    return value


_READERS: dict[FieldKind, Callable[[FormField, str], Any]] = {
    FieldKind.CHOICE: _choice,
    FieldKind.BOOLEAN: _boolean,
    FieldKind.INTEGER: _integer,
    FieldKind.NUMBER: _number,
    FieldKind.LIST: _list,
    FieldKind.OBJECT: _object,
}
