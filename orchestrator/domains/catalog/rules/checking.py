"""Does this configuration fit the connector? Every wrong field with its path, none of them with a secret's value."""

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from orchestrator.domains.catalog.rules import form, leaf, walk
from orchestrator.domains.catalog.rules.addresses import host_allowed, is_loopback, is_private
from orchestrator.domains.catalog.rules.formats import ADDRESSES, bare_host
from orchestrator.domains.catalog.rules.walk import Leaf, Schema
from orchestrator.domains.catalog.types import Connector, Problem

# A plugin gets each setting as one environment variable, and Linux ends one at 128 KiB: name, "=", value and NUL.
# source: execve(2), "Limits on size of arguments and environment"; MAX_ARG_STRLEN
_LIMIT = 128 * 1024
_NAME_ROOM = 256


def validate(
    connector: Connector,
    values: Any,
    *,
    secrets_set: frozenset[str] = frozenset(),
    variant: str | None = None,
    allow_private: bool = False,
    awaiting: bool = False,
) -> tuple[Problem, ...]:
    """Every wrong field, in form order, unknown ones last; empty where all is well.

    secrets_set:    dotted paths of secrets that are stored already and may be left out
    allow_private:  loopback addresses are fine
    awaiting:       fields that a sign-in in the browser fills may still be missing
    """
    if not isinstance(values, Mapping):
        return (Problem("", "The configuration must be an object of fields."),)
    answers = form.completed(connector, values, variant=variant)
    found: list[Problem] = []
    for question in walk.leaves(connector, answers, variant=variant):
        value = walk.at(answers, question.path)
        if value is not None:
            texts = _wrong(connector, question, value, allow_private=allow_private)
        elif _missing(question, secrets_set, awaiting=awaiting):
            texts = [f"{question.schema['title']} is missing."]
        else:
            continue
        found += [Problem(".".join(question.path), text) for text in texts]
    unknown = _unknown((), connector.schema, answers, variant or connector.default_variant)
    return (*found, *unknown, *_too_large(answers, found))


def problems_of(schema: Schema, title: str, value: Any) -> list[str]:
    """What is wrong with one answer by itself."""
    size = _size(value)
    return [_size_sentence(title, size)] if size > _LIMIT - _NAME_ROOM else leaf.sentences(schema, title, value)


def _wrong(connector: Connector, question: Leaf, value: Any, *, allow_private: bool) -> list[str]:
    title = question.schema["title"]
    if question.branches:
        return _wrong_choice(question, title, value)
    texts = problems_of(question.schema, title, value)
    if not texts and question.schema.get("format") in ADDRESSES:
        texts = _wrong_address(connector, title, str(value), allow_private=allow_private)
    return texts


def _wrong_choice(question: Leaf, title: str, value: Any) -> list[str]:
    known = [walk.tag(question.schema, branch) for branch in question.branches]
    if value in known:
        return []
    if any(value == walk.tag(question.schema, branch) for branch in question.schema["oneOf"]):
        return [f"{title}: '{value}' does not work with this variant of the plugin; it has {', '.join(known)}."]
    near = get_close_matches(str(value), known, n=1)
    offer = f" Did you mean {near[0]}?" if near else ""
    return [f"{title}: {leaf.quoted(value)} is not one of {', '.join(known)}.{offer}"]


def _wrong_address(connector: Connector, title: str, value: str, *, allow_private: bool) -> list[str]:
    host = bare_host(value) or ""
    if is_private(host) and not allow_private:
        return [f"{title}: '{value}' is a private address, and the operator of this installation doesn't allow those."]
    if not host_allowed(connector, host, allow_private=allow_private):
        return [f"{title}: '{value}' is not one of {connector.title}'s addresses ({', '.join(connector.hosts)})."]
    if urlsplit(value).scheme == "http" and not is_loopback(host):
        return [f"{title}: '{value}' is not encrypted; use https."]
    return []


def _missing(question: Leaf, secrets_set: frozenset[str], *, awaiting: bool) -> bool:
    if not question.required or ".".join(question.path) in secrets_set:
        return False
    return not (awaiting and "x-filled-by" in question.schema)


def _unknown(path: tuple[str, ...], schema: Schema, values: Any, variant: str) -> Iterator[Problem]:
    """Fields that the form, as answered, doesn't have. Where no branch is chosen, its fields can't be judged."""
    if not isinstance(values, Mapping):
        yield Problem(".".join(path), f"{'.'.join(path)} must be an object of fields.")
        return
    parts = schema["properties"]
    for name, value in values.items():
        where = (*path, str(name))
        part = parts.get(name)
        if part is None:
            near = get_close_matches(str(name), list(parts), n=1)
            offer = f" Did you mean '{near[0]}'?" if near else ""
            yield Problem(".".join(where), f"There is no field {leaf.quoted('.'.join(where))}.{offer}")
        elif "oneOf" in part:
            yield from _unknown_of_choice(where, part, value, variant)
        elif "properties" in part:
            yield from _unknown(where, part, value, variant)


def _unknown_of_choice(path: tuple[str, ...], part: Schema, value: Any, variant: str) -> Iterator[Problem]:
    branch = walk.chosen(part, value, variant)
    if branch is None and isinstance(value, Mapping):
        return
    for problem in _unknown(path, branch or part["oneOf"][0], value, variant):
        name = problem.path.removeprefix(".".join(path) + ".")
        owners = [other["title"] for other in part["oneOf"] if name in other["properties"]]
        if owners and branch is not None:
            yield Problem(problem.path, f"'{name}' belongs to '{owners[0]}', not to '{branch['title']}'.")
        else:
            yield problem


def _too_large(answers: Mapping[str, Any], found: list[Problem]) -> Iterator[Problem]:
    """A plugin's setting may be a whole object of the form, so the objects are measured as well."""
    for name, value in answers.items():
        size = _size(value)
        if size > _LIMIT - _NAME_ROOM and not any(problem.path.split(".")[0] == name for problem in found):
            yield Problem(name, _size_sentence(name, size))


def _size(value: Any) -> int:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, default=_plain)
    return len(text.encode("utf-8", "surrogatepass"))


def _plain(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _size_sentence(title: str, size: int) -> str:
    return f"{title} is {size / 1024:,.0f} KiB large; the limit is 128 KiB."
