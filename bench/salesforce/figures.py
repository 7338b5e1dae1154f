"""From runs to figures: medians, ratios, and whether the promises are kept. No clock, no I/O."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.salesforce.pipelines import Kind

PER: Final = 200_000  # records that CPU is told for
FULL: Final = 1_000_000  # records from which promises are judged: below, starting programs is most of it
LIMIT: Final = "limit_1"
LEANEST_LIMIT: Final = "limit_1_isal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A ratio that must be reached."""

    name: str
    title: str
    least: float


PROMISES: Final = (
    Promise(name="tap_target_vs_limit_cpu", title="tap | target, records per CPU second, to the limit", least=0.8),
    Promise(name="sync_vs_best_peer_rate", title="sync, records/s, to the best peer", least=25.0),
    Promise(name="sync_vs_best_peer_cpu", title="sync, records per CPU second, to the best peer", least=20.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. Seconds; MB.

    cpu:   of each program
    """

    rows: int
    wall: float
    cpu: Mapping[str, float]
    postgres_cpu: float
    org_cpu: float
    rss: float
    rss_largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All runs of one pipeline, of which the medians are told.

    differing:  columns in which the table is not what the source holds
    keyed:      whether the table has a key; None where there is no table in the warehouse
    """

    name: str
    title: str
    kind: Kind
    runs: Sequence[Run]
    differing: Sequence[str] = ()
    keyed: bool | None = None

    @property
    def rows(self) -> int:
        """Records of one run."""
        return self.runs[0].rows

    @property
    def rate(self) -> float:
        """Records a second."""
        return self._median(lambda run: run.rows / run.wall)

    @property
    def cpu(self) -> float:
        """CPU seconds for 200,000 records."""
        return self._median(lambda run: sum(run.cpu.values()) / run.rows * PER)

    @property
    def postgres_cpu(self) -> float:
        """CPU seconds of Postgres for 200,000 records."""
        return self._median(lambda run: run.postgres_cpu / run.rows * PER)

    @property
    def rss(self) -> float:
        """MB of all processes together."""
        return self._median(lambda run: run.rss)

    @property
    def largest(self) -> float:
        """MB of the largest process."""
        return self._median(lambda run: run.rss_largest)

    def cpu_of(self, program: str) -> float:
        """CPU seconds of one program for 200,000 records."""
        return self._median(lambda run: run.cpu[program] / run.rows * PER)

    def _median(self, of: Callable[[Run], float]) -> float:
        return statistics.median(of(run) for run in self.runs)

    def document(self, *, limit: "Summary | None", best: "Summary | None") -> dict[str, Any]:
        """As the file holds it."""
        rates = [run.rows / run.wall for run in self.runs]
        return {
            "title": self.title,
            "kind": self.kind.value,
            "n": len(self.runs),
            "rows": self.rows,
            "records_per_s": round(self.rate),
            "records_per_s_range": [round(min(rates)), round(max(rates))],
            "cpu_s_per_200k": round(self.cpu, 3),
            "cpu_s_per_200k_by_program": {name: round(self.cpu_of(name), 3) for name in self.runs[0].cpu},
            "records_per_cpu_s": round(PER / self.cpu),
            "postgres_cpu_s_per_200k": round(self.postgres_cpu, 3),
            "peak_rss_mb": round(self.rss, 1),
            "peak_rss_largest_process_mb": round(self.largest, 1),
            "org_cpu_s_per_200k": round(self._median(lambda run: run.org_cpu / run.rows * PER), 3),
            "seconds": [round(run.wall, 3) for run in self.runs],
            "vs_limit_rate": faster(self, limit),
            "vs_limit_cpu": leaner(self, limit),
            "vs_best_peer_rate": faster(self, best),
            "vs_best_peer_cpu": leaner(self, best),
            "end_state": {"differing_columns": list(self.differing), "primary_key": self.keyed},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything one benchmark found."""

    ways: Sequence[Summary]

    def find(self, name: str) -> Summary | None:
        """The pipeline of that name, if it took part."""
        return next((way for way in self.ways if way.name == name), None)

    @property
    def limit(self) -> Summary | None:
        """The bare limit with one connection."""
        return self.find(LIMIT)

    def best_peer(self, by: Callable[[Summary], float]) -> Summary | None:
        """The peer that loads into the warehouse and has the highest value of all."""
        peers = [way for way in self.ways if way.kind is Kind.PEER and way.keyed is not None]
        return max(peers, key=by, default=None)

    def ratios(self) -> dict[str, float | None]:
        """What is promised, by name; None where one side did not take part."""
        sync, pipe = self.find("sync"), self.find("tap_target")
        fastest, leanest = self.best_peer(lambda way: way.rate), self.best_peer(lambda way: -way.cpu)
        return {
            "tap_target_vs_limit_cpu": leaner(pipe, self.limit),
            "tap_target_vs_leanest_limit_cpu": leaner(pipe, self.find(LEANEST_LIMIT)),
            "sync_vs_best_peer_rate": faster(sync, fastest),
            "sync_vs_best_peer_cpu": leaner(sync, leanest),
        }

    def judged(self) -> list[tuple[Promise, float | None, bool | None]]:
        """Each promise, what was found, and whether it is kept; None where that cannot be judged."""
        ratios, full = self.ratios(), self.limit is not None and self.limit.rows >= FULL
        return [
            (promise, found, found >= promise.least if full and found is not None else None)
            for promise, found in ((promise, ratios[promise.name]) for promise in PROMISES)
        ]

    def document(self) -> dict[str, Any]:
        """As the file holds it, but for machine, date and commit."""
        fastest = self.best_peer(lambda way: way.rate)
        leanest = self.best_peer(lambda way: -way.cpu)
        return {
            **self.ratios(),
            "best_peer_by_rate": fastest and fastest.name,
            "best_peer_by_cpu": leanest and leanest.name,
            "pipelines": {way.name: way.document(limit=self.limit, best=fastest) for way in self.ways},
        }


def faster(one: Summary | None, other: Summary | None) -> float | None:
    """How many times the records a second."""
    return round(one.rate / other.rate, 3) if one and other else None


def leaner(one: Summary | None, other: Summary | None) -> float | None:
    """How many times the records for a second of CPU."""
    return round(other.cpu / one.cpu, 3) if one and other else None
