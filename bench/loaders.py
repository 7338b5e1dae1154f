"""Records per CPU second of the COPY loader and of the community's, on the same RECORD messages.

Two inputs, each a file of Singer messages that both loaders read, each from its own plugin environment with the
catalog's defaults: what the community's tap-postgres writes about a table of every kind of column, and messages of
the shape that tap-github's issues have, with nested objects and arrays. CPU is that of the whole process, start
included; Postgres' is told beside it. Afterwards both tables must say the same, value for value.
"""

import json
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psycopg
from psycopg import sql

from bench.lab import report
from bench.lab.stage import Stage, stage
from bench.salesforce.measure import Cost, Program, run
from orchestrator.drivers.plugin_store import Kind, recipe
from orchestrator.kernel import environment

_TIMES: Final = 5  # the COPY loader moves at least so many times as many records per CPU second
_ORDERS: Final = """
CREATE SCHEMA bench_source;
CREATE TABLE bench_source.orders AS SELECT
  n AS id, 'customer ' || n % 977 AS customer, (n * 7.31)::numeric(12, 2) AS amount, n % 3 = 0 AS paid,
  timestamptz '2024-01-01 00:00:00Z' + n * interval '61.25 seconds' AS ordered_at, date '2024-01-01' + n % 365 AS due,
  CASE WHEN n % 5 > 0 THEN repeat('note "' || n || E'"\\n', n % 4) END AS note, n % 100 AS quantity,
  jsonb_build_object('lines', jsonb_build_array(jsonb_build_object('sku', 'A' || n)), 'gift', n % 2 = 0) AS cart,
  ARRAY['red', 'tag ' || n % 10] AS tags, 'shelf ' || n % 50 AS shelf, n * 1000003::bigint AS barcode
FROM generate_series(1, {}) AS n;
ALTER TABLE bench_source.orders ADD PRIMARY KEY (id)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file of Singer messages about one stream."""

    name: str
    table: str
    messages: bytes
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """A loader and the settings it gets beside the address."""

    title: str
    plugin: tuple[Kind, str, str]
    options: Mapping[str, Any]


_OURS: Final = Loader(
    title="target-postgres-copy", plugin=("loaders", "target-postgres-copy", "orchestrator"), options={}
)
_THEIRS: Final = Loader(
    title="meltanolabs-target-postgres",
    plugin=("loaders", "target-postgres", "meltanolabs"),
    options={"load_method": "upsert", "add_record_metadata": True, "sanitize_null_text_characters": True},
)
_UNCHECKED: Final = Loader(
    title="meltanolabs-target-postgres, validate_records off",
    plugin=_THEIRS.plugin,
    options={**_THEIRS.options, "validate_records": False},
)
LOADERS: Final = (_OURS, _THEIRS, _UNCHECKED)
_TAP: Final[tuple[Kind, str, str]] = ("extractors", "tap-postgres", "meltanolabs")


class DifferentEndError(Exception):
    """The loaders did not leave the same table behind; their figures could not be compared."""


class Lab:
    """Plugins, and the Postgres that they read from and write to."""

    def __init__(self, at: Stage, folder: Path) -> None:
        server = at.drivers.postgres.start()
        self.url = server.url("warehouse").get_secret_value()
        self.pid = at.drivers.postgres.status().pid or 0
        dsn = self.url.replace("postgresql+psycopg://", "postgresql://", 1)
        self.connection = psycopg.connect(dsn, autocommit=True, options="-c timezone=UTC")
        self._at = at
        self._folder = folder

    def close(self) -> None:
        """No more looks into the database."""
        self.connection.close()

    def program(
        self, plugin: tuple[Kind, str, str], config: Mapping[str, Any], *arguments: str | Path, stdin: bytes = b""
    ) -> Program:
        """A plugin's program; its configuration, which holds a password, is in a private file."""
        file = self._folder / f"{plugin[1]}.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(config), encoding="utf-8")
        path = self._at.drivers.plugins.program(recipe(environment.project_root(), *plugin))
        env = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(self._folder)}
        return Program(name=plugin[1], argv=(path, "--config", file, *arguments), env=env, stdin=stdin)

    def orders(self, records: int) -> Input:
        """What tap-postgres writes about a table."""
        self.drop("bench_source")
        self.connection.execute(sql.SQL(_ORDERS).format(records))
        try:
            named = self.url.replace("+psycopg", "").replace("@/", "@localhost/")  # the tap insists on a name
            config = {"sqlalchemy_url": named, "filter_schemas": ["bench_source"]}
            catalog = json.loads(run([self.program(_TAP, config, "--discover")]).stdout)
            for entry in [each for found in catalog["streams"] for each in found["metadata"]]:
                entry["metadata"]["selected"] = True
            file = self._folder / "catalog.json"
            file.write_text(json.dumps(catalog), encoding="utf-8")
            written = run([self.program(_TAP, config, "--catalog", file)]).stdout
        finally:
            self.drop("bench_source")
        return Input(name="tap-postgres: orders", table="orders", messages=written, records=records)

    def load(self, loader: Loader, given: Input, schema: str) -> Cost:
        """Load into a schema that does not exist yet."""
        self.drop(schema)
        config = {"sqlalchemy_url": self.url, "default_target_schema": schema, **loader.options}
        program = self.program(loader.plugin, config, stdin=given.messages)
        return run([program], servers={"postgres": self.pid})

    def drop(self, schema: str) -> None:
        """Remove what was loaded."""
        self.connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))

    def rows(self, schema: str, given: Input) -> Iterator[dict[str, Any]]:
        """What a loader left behind, metadata aside, in the order of the key and in comparable values."""
        statement = sql.SQL("SELECT * FROM {} ORDER BY id").format(sql.Identifier(schema, given.table))
        with self.connection.cursor(schema, withhold=True) as cursor:
            cursor.execute(statement)
            names = [column.name for column in cursor.description or ()]
            for row in cursor:
                values = zip(names, row, strict=True)
                yield {name: _comparable(value) for name, value in values if not name.startswith("_sdc_")}


def issues(records: int) -> Input:
    """Messages of the shape of tap-github's issues."""
    chance = random.Random(1)  # noqa: S311 - made-up data
    text, when = {"type": ["string", "null"]}, {"type": ["string", "null"], "format": "date-time"}
    number, truth = {"type": ["integer", "null"]}, {"type": ["boolean", "null"]}
    user = {"type": ["object", "null"], "properties": {"login": text, "id": number, "site_admin": truth}}
    label = {"type": "object", "properties": {"id": number, "name": text, "color": text, "default": truth}}
    reactions = {"type": ["object", "null"], "properties": dict.fromkeys(("total_count", "heart", "eyes"), number)}
    properties = {
        "id": {"type": "integer"}, "node_id": text, "repo": text, "org": text, "number": number, "title": text,
        "body": text, "state": text, "locked": truth, "comments": number, "html_url": text, "user": user,
        "assignees": {"type": ["array", "null"], "items": user}, "labels": {"type": ["array", "null"], "items": label},
        "reactions": reactions, "score": {"type": ["number", "null"]}, "created_at": when, "updated_at": when,
        "closed_at": when,
    }  # fmt: skip
    schema = {"type": "object", "properties": properties}
    head = {"type": "SCHEMA", "stream": "issues", "key_properties": ["id"], "schema": schema}
    lines = [json.dumps(head)]
    lines += [json.dumps(_issue(at, chance)) for at in range(records)]
    lines.append(json.dumps({"type": "STATE", "value": {"bookmarks": {"issues": {}}}}))
    messages = "\n".join(lines).encode() + b"\n"
    return Input(name="shape of tap-github: issues", table="issues", messages=messages, records=records)


def _issue(at: int, chance: random.Random) -> dict[str, Any]:
    words = ("crash", "on", "start", "ünïcode", "the", "loader", "should", "wait", "\n", '"quoted"', "a,b", "```py```")
    created = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=at * 31)
    closed = created + timedelta(days=2)
    users = [{"login": f"user{n}", "id": n, "site_admin": n == 0} for n in chance.sample(range(500), 3)]
    labels = [{"id": n, "name": f"label {n}", "color": "ededed", "default": False} for n in range(chance.randrange(4))]
    record = {
        "id": at + 1, "node_id": f"I_{at:08x}", "repo": "orders", "org": "acme", "number": at,
        "title": " ".join(chance.choices(words[:8], k=7)), "body": " ".join(chance.choices(words, k=60)),
        "state": "closed" if at % 2 else "open", "locked": at % 50 == 0, "comments": at % 17,
        "html_url": f"https://example.com/acme/orders/issues/{at}", "user": users[0], "assignees": users[1:],
        "labels": labels, "reactions": {"total_count": at % 5, "heart": at % 3, "eyes": 0} if at % 4 else None,
        "score": at / 8, "created_at": created.isoformat(), "updated_at": closed.isoformat(),
        "closed_at": closed.isoformat() if at % 2 else None,
    }  # fmt: skip
    return {"type": "RECORD", "stream": "issues", "record": record, "time_extracted": "2026-01-01T00:00:00+00:00"}


def _comparable(value: Any) -> Any:
    """Without the differences between types that hold the same: arrays and JSON, with and without time zone."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, float | Decimal):
        return Decimal(str(value)).normalize()
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    return value


def _must_agree(lab: Lab, given: Input, one: str, other: str) -> None:
    count = 0
    for ours, theirs in zip(lab.rows(one, given), lab.rows(other, given), strict=True):
        differs = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
        if differs:
            raise DifferentEndError(f"{given.name}, id {ours['id']}: {', '.join(differs)} differ.")
        count += 1
    if count != given.records:
        raise DifferentEndError(f"{given.name}: {count} rows instead of {given.records}.")


def _measure(lab: Lab, given: Input, n: int) -> Mapping[str, Sequence[Cost]]:
    """Loaders take turns; the last tables of each are compared."""
    costs: dict[str, list[Cost]] = {loader.title: [] for loader in LOADERS}
    schemas = {loader.title: f"bench_loader_{at}" for at, loader in enumerate(LOADERS)}
    try:
        for _ in range(n):
            for loader in LOADERS:
                costs[loader.title].append(lab.load(loader, given, schemas[loader.title]))
        for loader in LOADERS[1:]:
            _must_agree(lab, given, schemas[_OURS.title], schemas[loader.title])
    finally:
        for schema in schemas.values():
            lab.drop(schema)
    return costs


def main() -> int:
    """Measure, show, write."""
    parser = report.arguments(__doc__, n=3)
    parser.add_argument("--records", type=int, default=50_000, help="of each input (default: %(default)s)")
    parser.add_argument("--home", type=Path, help="an installation to use and keep, instead of a temporary one")
    given = parser.parse_args()
    found = report.Report(name="loaders", n=given.n)
    with stage(given.home) as at, TemporaryDirectory() as folder:
        for plugin in (_TAP, _OURS.plugin, _THEIRS.plugin):
            at.drivers.plugins.ensure(recipe(environment.project_root(), *plugin))
        with closing(Lab(at, Path(folder))) as lab:
            for source in (lab.orders(given.records), issues(given.records)):
                _tell(found, source, _measure(lab, source, given.n))
    return found.end(given.json)


def _tell(found: report.Report, given: Input, costs: Mapping[str, Sequence[Cost]]) -> None:
    rates = {title: report.spread([given.records / cost.cpu_all for cost in some]) for title, some in costs.items()}
    ours = rates[_OURS.title].median
    rows = []
    for title, some in costs.items():
        server = report.spread([cost.server_cpu["postgres"] for cost in some]).median
        memory = max(cost.rss_largest for cost in some)
        rate = rates[title]
        rows.append((title, f"{rate.median:,.0f}", f"{ours / rate.median:.1f}", f"{server:.2f}", f"{memory:.0f}"))
    columns = ("loader", "records per CPU second", "times", "Postgres' CPU, s", "peak, MB")
    report.show(f"{given.name}, {given.records:,} records, {len(given.messages) >> 20} MB", columns, rows)
    times = ours / rates[_THEIRS.title].median
    found.figures[given.name] = {"records": given.records, "records_per_cpu_s": rates, "times": round(times, 2)}
    found.target(f"{given.name}: CPU per record, share of the community's", 1 / times, limit=1 / _TIMES, unit="")


if __name__ == "__main__":
    sys.exit(main())
