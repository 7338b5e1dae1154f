"""Where secrets go: they are given for a place, and stay with it.

Whoever may edit a configuration but not read its secrets could otherwise have one sent to a server of their own.
"""

from collections.abc import Collection, Mapping
from typing import Any

from orchestrator.domains.catalog.rules import form, walk
from orchestrator.domains.catalog.types import Connector, Problem


def to_give_again(
    connector: Connector,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    kept: Collection[str],
    variant: str | None = None,
) -> tuple[Problem, ...]:
    """Every secret that would go somewhere else than where it was given for, with what has changed.

    before, after:  configurations; defaults stand for what is left out
    kept:           dotted paths of the secrets that are stored and not given anew
    """
    changed = _changed(connector, before, after, variant)
    if not changed:
        return ()
    return tuple(
        Problem(
            ".".join(leaf.path),
            f"{changed} has changed, and this secret was given for the one before. Give {leaf.schema['title']} again.",
        )
        for leaf in walk.leaves(connector, after, variant=variant)
        if walk.is_secret(leaf.schema) and ".".join(leaf.path) in kept
    )


def _changed(
    connector: Connector, before: Mapping[str, Any], after: Mapping[str, Any], variant: str | None
) -> str | None:
    """The title of the first answer that says where secrets go, and says something else now."""
    old, new = (form.completed(connector, values, variant=variant) for values in (before, after))
    for values in (new, old):
        for leaf in walk.leaves(connector, values, variant=variant):
            if walk.binds_secrets(leaf.schema) and walk.at(old, leaf.path) != walk.at(new, leaf.path):
                return str(leaf.schema["title"])
    return None
