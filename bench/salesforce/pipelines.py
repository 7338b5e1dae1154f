"""What a pipeline is to this benchmark: programs to run, and a look at what they left behind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bench.salesforce.measure import Program
from bench.salesforce.source import Source

Destination = Literal["postgres", "file"]


class UnavailableError(Exception):
    """A pipeline that cannot take part on this machine, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One way from the org to its destination, cleared of what an earlier run left there, to be run once.

    chain:  what is started, each program reading what the one before writes
    check:  how many records arrived; raises if they are not the source's
    """

    chain: Sequence[Program]
    check: Callable[[], int]


class Peer(Protocol):
    """Somebody else's pipeline.

    name:   on the command line and in figures
    title:  as people know it, its version included
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def destination(self) -> Destination: ...

    def install(self, home: Path) -> None:
        """Build its environment under home unless it is there. Raises UnavailableError."""

    def pipeline(self, source: Source, warehouse: str, home: Path) -> Pipeline:
        """The way of one object's records into the warehouse (its URL) or into a file under home, made for one run."""
