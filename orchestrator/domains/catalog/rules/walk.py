"""The one way through a connector's form: its questions in order, for the answers given so far.

A property of the form is a leaf, a choice of branches (`oneOf`, told apart by a constant tag), or an object of more
properties. Nothing else occurs; the meta-schema sees to that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.domains.catalog.types import Connector

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A question of the form; one with branches is the choice between them, and its value their tag."""

    path: tuple[str, ...]
    schema: Schema
    required: bool
    group: str
    branches: tuple[Schema, ...] = ()


def leaves(connector: Connector, values: Mapping[str, Any], *, variant: str | None = None) -> Iterator[Leaf]:
    """The questions that apply to these answers, in form order; `variant` None stands for the default one."""
    name = variant or connector.default_variant
    found = list(_object((), connector.schema, values, name, required=True, group=""))
    for group in _groups(connector.schema):
        yield from (leaf for leaf in found if leaf.group == group)


def every_leaf(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """All leaves of the form, those of every branch included, with their paths."""
    for name, part in schema.get("properties", {}).items():
        if "oneOf" in part:
            for branch in part["oneOf"]:
                yield from every_leaf(branch, (*path, name))
        elif "properties" in part:
            yield from every_leaf(part, (*path, name))
        else:
            yield (*path, name), part


def tag_name(part: Schema) -> str:
    """The property that tells the branches of a choice apart."""
    return str(part["discriminator"]["propertyName"])


def tag(part: Schema, branch: Schema) -> str:
    """What the tag of this branch is."""
    return str(branch["properties"][tag_name(part)]["const"])


def chosen(part: Schema, value: Any, variant: str | None = None) -> Schema | None:
    """The branch these answers chose by its tag; without a tag the default one, or the only one of the variant."""
    wanted = value.get(tag_name(part)) if isinstance(value, Mapping) else None
    if wanted is None or wanted == "":
        wanted = default_tag(part, variant)
    return next((branch for branch in part["oneOf"] if tag(part, branch) == wanted), None)


def default_tag(part: Schema, variant: str | None = None) -> str | None:
    """The tag used where nobody chose."""
    branches = offered(part, variant)
    if len(branches) == 1:
        return tag(part, branches[0])
    given = part.get("default", {}).get(tag_name(part))
    return None if given is None else str(given)


def offered(part: Schema, variant: str | None) -> tuple[Schema, ...]:
    """The branches that the variant can do; all of them where no variant is named."""
    return tuple(branch for branch in part["oneOf"] if _for(branch, variant))


def at(values: Any, path: tuple[str, ...]) -> Any:
    """The value standing at a path; None where there is none, or an empty text."""
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return None if isinstance(values, str) and values == "" else values


def put(place: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set the value at a path, making the objects on the way."""
    for name in path[:-1]:
        place = place.setdefault(name, {})
    place[path[-1]] = value


def can_hold(values: Any, path: tuple[str, ...]) -> bool:
    """Whether a value can be put at the path: everything above it is an object, or not there yet."""
    return all(isinstance(at(values, path[:depth]), Mapping | None) for depth in range(len(path)))


def is_secret(schema: Schema) -> bool:
    """Whether the value of this leaf is encrypted and never shown."""
    return bool(schema.get("writeOnly"))


def binds_secrets(schema: Schema) -> bool:
    """Whether the value of this leaf says where secrets go, or how safely."""
    return bool(schema.get("x-binds-secrets"))


def _groups(schema: Schema) -> list[str]:
    return [*(group["id"] for group in schema.get("x-groups", [])), ""]


def _for(schema: Schema, variant: str | None) -> bool:
    return variant is None or variant in schema.get("x-variants", [variant])


def _object(
    path: tuple[str, ...], schema: Schema, values: Any, variant: str, *, required: bool, group: str
) -> Iterator[Leaf]:
    needed = schema.get("required", []) if required else []
    for name, part in schema["properties"].items():
        if "const" in part or not _for(part, variant):
            continue
        where, value, must = (*path, name), at(values, (name,)), name in needed
        here = part.get("x-group", group)
        if "oneOf" in part:
            yield from _choice(where, part, value, variant, required=must, group=here)
        elif "properties" in part:
            yield from _object(where, part, value, variant, required=must, group=here)
        else:
            yield Leaf(path=where, schema=part, required=must, group=here)


def _choice(
    path: tuple[str, ...], part: Schema, value: Any, variant: str, *, required: bool, group: str
) -> Iterator[Leaf]:
    branches = offered(part, variant)
    yield Leaf(path=(*path, tag_name(part)), schema=part, required=required, group=group, branches=branches)
    branch = chosen(part, value, variant)
    if branch is not None:
        yield from _object(path, branch, value, variant, required=True, group=group)
