"""Salesforce into a DuckDB file and into Parquet: the same road, another destination."""

import secrets
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration, NewIntegration
from orchestrator.drivers.plugin_store import recipe
from orchestrator.kernel.environment import project_root
from sandboxes.salesforce import LocalOrg
from sandboxes.salesforce.schema import NUMBERS
from tests.e2e.conftest import values_of
from tests.e2e.installation import Installation

_SQL = {"datetime": "strftime({0} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%g+0000')", "boolean": "{0}::INTEGER::VARCHAR"}


@pytest.fixture
def into(installation: Installation, org: LocalOrg, like: Integration):
    """An integration of accounts into a destination of this connector, and the folder of all exports."""
    with installation.drivers() as drivers:
        drivers.plugins.program(recipe(project_root(), "loaders", "target-duckdb", "orchestrator"))

    def made(connector: str, **values: Any) -> tuple[Integration, Path]:
        name = f"{connector} {secrets.token_hex(3)}"
        with installation.drivers() as drivers:
            place = identity.find(drivers.db, "default")
            integrations.add_destination(drivers, place, NewIntegration(type=connector, name=name, values=values))
        # Looking back would read again what earlier tests have changed.
        source = values_of(org, lookback_minutes=0)
        added = installation.add(f"crm {name}", source, ["Account"], like=like, destination=name)
        return added, installation.home / "exports" / added.org_id

    return made


def loaded(source: str, columns: list[Any]) -> dict[str, tuple]:
    """key → whether it is marked as deleted, and the values as the source writes them."""
    shown = ", ".join(_SQL.get(one.type, "{0}::VARCHAR").format(f'"{one.name}"') for one in columns)
    numbers = [at for at, one in enumerate(columns) if one.type in NUMBERS]
    found = {}
    for key, deleted, *values in duckdb.sql(
        f'SELECT "Id", _sdc_deleted_at IS NOT NULL, {shown} FROM {source}'
    ).fetchall():
        for at in numbers:
            values[at] = _number(values[at])
        assert key not in found
        found[key] = (deleted, *values)
    return found


def at_the_source(org: LocalOrg, columns: list[Any]) -> dict[str, tuple]:
    listing = ", ".join(f'"{one.name}"' for one in columns)
    return {
        key: (bool(gone), *(_plain(one.type, value) for one, value in zip(columns, values, strict=True)))
        for key, gone, *values in org.store.rows(f'SELECT "Id", "IsDeleted", {listing} FROM "Account"')
    }


def _plain(kind: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    return _number(value) if kind in NUMBERS else str(value)


def _number(value: Any) -> str | None:
    return None if value is None else format(Decimal(str(value)).normalize() or Decimal(0), "f")


def columns_of(org: LocalOrg, source: str) -> list[Any]:
    names = {name for name, *_ in duckdb.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    return [one for one in org.store.sobjects["Account"].columns if one.name in names]


def test_a_duckdb_file_equals_the_source_first_and_after_changes(
    installation: Installation, org: LocalOrg, into: Any
) -> None:
    integration, exports = into("duckdb", file="crm/sales.duckdb")
    done = installation.run("sync", integration.id, "--json")
    assert done.code == 0, done.err
    [account] = done.json["streams"]
    everything = sum(org.count("Account").values())
    assert (account["read"], account["written"]) == (everything, everything)
    said = installation.run("runs", "logs", installation.latest(integration).id).out
    assert "as csv+gzip batches" in said
    check(org, exports / "crm" / "sales.duckdb", integration)
    org.churn("Account", update=20, delete=5, insert=3)
    done = installation.run("sync", integration.id, "--json")
    assert done.code == 0, done.err
    [account] = done.json["streams"]
    assert (account["read"], account["written"], account["deleted"]) == (28, 28, 5)
    check(org, exports / "crm" / "sales.duckdb", integration)


def check(org: LocalOrg, file: Path, integration: Integration) -> None:
    name = f"db{secrets.token_hex(3)}"
    duckdb.sql(f"ATTACH '{file}' AS {name} (READ_ONLY)")
    try:
        source = f'{name}."{integration.target_schema}"."Account"'
        columns = columns_of(org, source)
        assert len(columns) > 10
        assert loaded(source, columns) == at_the_source(org, columns)
    finally:
        duckdb.sql(f"DETACH {name}")


def test_parquet_files_show_the_source_by_their_newest_rows(
    installation: Installation, org: LocalOrg, into: Any
) -> None:
    integration, exports = into("parquet", folder="lake")
    for changes in ({}, {"update": 20, "delete": 5, "insert": 3}):
        if changes:
            org.churn("Account", **changes)
        done = installation.run("sync", integration.id, "--json")
        assert done.code == 0, done.err
        files = exports / "lake" / integration.target_schema / "Account" / "*.parquet"
        newest = (
            f"(FROM read_parquet('{files}', union_by_name = true)"
            ' QUALIFY row_number() OVER (PARTITION BY "Id" ORDER BY _sdc_sequence DESC) = 1)'
        )
        columns = columns_of(org, newest)
        assert loaded(newest, columns) == at_the_source(org, columns)
    assert not list(exports.glob("lake/**/*.part"))
