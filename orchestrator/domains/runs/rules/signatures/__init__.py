"""Error lines that are known: what each means, who can do something about it, and what.

The files beside this one hold them, a file a side of the world; the first that fits a line counts. They are read once,
when a run fails or is explained.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from orchestrator.domains.runs.types import FailureKind, Fixer, Origin

_FILES = ("salesforce", "postgres", "singer", "network")  # the special come before what is everywhere
_WHO = {"admin": None, "operator": Fixer.OPERATOR, "nobody": Fixer.NOBODY}


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A pattern in error lines, and what it means.

    origin:   it means so on that side only; None on either
    kind:     None where it says no more than whose error it is
    who:      None is the admin of the side it happened on
    example:  a line of that kind, as it was seen; `seen` says where
    """

    id: str
    pattern: str
    origin: Origin | None
    kind: FailureKind | None
    who: Fixer | None
    cause: str
    hint: str
    retryable: bool
    example: str
    seen: str

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE)

    def fits(self, line: str, *, side: Origin | None) -> bool:
        """Whether a line that this side said is of this kind."""
        elsewhere = self.origin is not None and side not in {self.origin, None}
        return not elsewhere and self._compiled.search(line) is not None


def of(line: str, *, side: Origin | None) -> Signature | None:
    """What is known about an error line; None where nothing is."""
    return next((one for one in known().values() if one.fits(line, side=side)), None)


@cache
def known() -> Mapping[str, Signature]:
    """Every signature by its id, in the order they are tried. Raises ValueError, KeyError where a file is wrong."""
    found: dict[str, Signature] = {}
    for one in (one for name in _FILES for one in _read(name)):
        if one.id in found:
            raise ValueError(one.id)
        found[one.id] = one
    return found


def _read(name: str) -> Iterator[Signature]:
    from importlib import resources

    import yaml

    document = yaml.safe_load(resources.files(__name__).joinpath(f"{name}.yaml").read_text("utf-8"))
    yield from (_signature({"origin": document.get("origin"), **entry}) for entry in document["signatures"])


def _signature(entry: Mapping[str, Any]) -> Signature:
    facts = dict(entry)
    origin, kind = facts.pop("origin"), facts.pop("kind", None)
    return Signature(
        origin=None if origin is None else Origin(origin),
        kind=None if kind is None else FailureKind(kind),
        who=_WHO[facts.pop("who")],
        retryable=facts.pop("retryable", False),
        **facts,
    )
