"""What a pipeline is to the benchmark: something that can begin anew, with programs to start and a table at the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bench.lab.stage import Stage
from bench.salesforce.measure import Program
from bench.salesforce.source import Source
from bench.salesforce.warehouse import Warehouse


class UnavailableError(Exception):
    """A pipeline that cannot take part on this machine, and why."""


class Kind(StrEnum):
    """Whose a pipeline is."""

    LIMIT = "limit"
    OURS = "ours"
    PEER = "peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Where everything runs.

    folder:  for what a run needs; private, in memory where there is such a place
    keep:    for what outlives a run and the benchmark: environments, caches
    """

    at: Stage
    source: Source
    warehouse: Warehouse
    folder: Path
    keep: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run, ready to start: what came before is not measured.

    schema, table:  where the records will be; table None for a pipeline that loads elsewhere
    counted:        how many records arrived, asked afterwards, where there is no table
    """

    chain: Sequence[Program]
    schema: str
    table: str | None
    counted: Callable[[], int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One way from the org into the warehouse.

    name:   in figures
    title:  for people
    begin:  makes everything ready for one run into a schema that is not there yet; raises UnavailableError
    """

    name: str
    title: str
    kind: Kind
    begin: Callable[[Lab, str], Attempt]
