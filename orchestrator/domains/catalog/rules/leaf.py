"""Is this value right for this one field? If not, why, in a sentence that never shows a secret."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from orchestrator.domains.catalog.rules import strict, walk
from orchestrator.domains.catalog.rules.formats import FORMATS
from orchestrator.domains.catalog.rules.walk import Schema

if TYPE_CHECKING:
    from jsonschema import ValidationError

_SHOWN = 60
_SHORTEST_SECRET = 6  # characters; shorter ones are not looked for in what plugins say (see the driver's redaction)
_SIGN_IN = re.compile(r"(://)[^/\s]*@")  # user and password within an address

_TYPES = {
    "string": "must be text",
    "boolean": "must be yes or no",
    "integer": "must be a whole number",
    "number": "must be a number",
    "array": "must be a list",
    "object": "must be an object",
}


def sentences(schema: Schema, title: str, value: Any) -> list[str]:
    """Every reason why the value does not fit this leaf; empty where it does."""
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    secret = walk.is_secret(schema)
    broken = _unstorable(plain)
    if broken:
        return [f"{title} {broken}."]
    found = [*_by_schema(schema, plain, secret=secret), *_by_format(schema, plain, secret=secret)]
    if secret and isinstance(plain, str) and "minLength" not in schema and len(plain) < _SHORTEST_SECRET:
        found.append(f" has fewer than {_SHORTEST_SECRET} characters: too few to keep it out of logs. Use a longer one")
    return [f"{title}{text}" if text.endswith("?") else f"{title}{text}." for text in dict.fromkeys(found)]


def _unstorable(value: Any) -> str | None:
    """Why neither Postgres nor an environment variable could hold some text within the value."""
    for text in _texts(value):
        if "\0" in text:
            return "contains a NUL character, which can't be stored"
        if any("\ud800" <= char <= "\udfff" for char in text):
            return "contains half of a character (a lone surrogate), which can't be stored"
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


def _by_schema(schema: Schema, value: Any, *, secret: bool) -> Iterator[str]:
    for error in strict.validator()(schema).iter_errors(value):
        yield _sentence(error, schema, secret=secret)


def _by_format(schema: Schema, value: Any, *, secret: bool) -> Iterator[str]:
    for rule, text, place in [(schema, value, ""), *_items(schema, value)]:
        if rule.get("format") in FORMATS and isinstance(text, str):
            fits, looks = FORMATS[rule["format"]]
            if not fits(text):
                yield f"{place}{_echo(text, secret=secret)} is not {rule.get('x-looks-like') or looks}"


def _items(schema: Schema, value: Any) -> list[tuple[Schema, Any, str]]:
    if "items" not in schema or not isinstance(value, list):
        return []
    return [(schema["items"], item, "") for item in value]


def _sentence(error: "ValidationError", schema: Schema, *, secret: bool) -> str:
    """One jsonschema error in our voice, to stand right after the field's title."""
    place = f", item {int(error.path[0]) + 1}" if error.path else ""
    say = _SENTENCES.get(str(error.validator))
    if say is None:
        return f"{place} does not fit ({error.validator})"
    rule = error.schema if isinstance(error.schema, Mapping) else schema
    return place + say(error.instance, error.validator_value, rule, secret)


def _type(value: Any, wanted: Any, _rule: Schema, secret: bool) -> str:
    if secret or isinstance(value, Mapping | list):
        return f" {_TYPES[wanted]}"
    shown = "yes or no" if isinstance(value, bool) else _echo(value, secret=False).removeprefix(": ")
    return f" {_TYPES[wanted]}, not {shown}"


def _enum(value: Any, allowed: Any, _rule: Schema, secret: bool) -> str:
    near = get_close_matches(str(value), [str(item) for item in allowed], n=1)
    offer = f". Did you mean {near[0]}?" if near else ""
    return f"{_echo(value, secret=secret)} is not one of {', '.join(map(str, allowed))}{offer}"


def _pattern(value: Any, _pattern: Any, rule: Schema, secret: bool) -> str:
    looks = rule.get("x-looks-like") or f"something like {rule.get('examples', rule.get('default', '?'))}"
    return f"{_echo(value, secret=secret)} is not {looks}"


def _length(value: Any, limit: Any, _rule: Schema, _secret: bool) -> str:
    return f" is {len(value):,} characters long; the limit is {limit:,}"


def _unique(value: Any, _flag: Any, _rule: Schema, _secret: bool) -> str:
    seen: list[Any] = []
    twice = [item for item in value if item in seen or seen.append(item)]  # type: ignore[func-returns-value] # append answers None, so the first one stays out
    return f": {quoted(twice[0])} is there twice"


_SENTENCES: dict[str, Callable[[Any, Any, Schema, bool], str]] = {
    "type": _type,
    "enum": _enum,
    "pattern": _pattern,
    "maxLength": _length,
    "uniqueItems": _unique,
    "minLength": lambda _v, limit, _r, _s: f" must have at least {limit:,} character{'' if limit == 1 else 's'}",
    "minimum": lambda value, limit, _r, _s: f": {value} is less than {limit}",
    "maximum": lambda value, limit, _r, _s: f": {value} is more than {limit}",
    "minItems": lambda _v, limit, _r, _s: f" needs at least {limit}",
    "maxItems": lambda value, limit, _r, _s: f" has {len(value):,} entries; the limit is {limit:,}",
}


def _echo(value: Any, *, secret: bool) -> str:
    return "" if secret else f": {quoted(value)}"


def quoted(value: Any) -> str:
    """The value in quotes, on one line, not longer than a person wants to read."""
    text = _SIGN_IN.sub(r"\1…@", " ".join(str(value).split()))
    return f"'{text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}'"
