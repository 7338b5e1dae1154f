"""The history of every stream's state, and what a person does to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEntry:
    """A stream's bookmark as it was at some time; None means from the start."""

    id: int
    stream: str
    bookmark: Mapping[str, Any] | None = field(repr=False)
    reason: str
    run_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StateMove:
    """What a rollback or reset does to one stream; reread: records that were read since, so about what comes again."""

    stream: str
    before: Mapping[str, Any] | None = field(repr=False)
    after: Mapping[str, Any] | None = field(repr=False)
    reread: int
