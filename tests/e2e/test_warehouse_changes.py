"""What somebody does to the warehouse by hand: a sentence that says what to do, and nothing lost once it is done."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs.types import Failure, FailureKind, Origin
from orchestrator.drivers.embedded_postgres import ServerAddress
from orchestrator.kernel.db import engine, normalised
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.conftest import values_of
from tests.e2e.installation import Installation


@pytest.fixture
def warehouse(installation: Installation) -> SecretStr:
    with installation.drivers() as drivers:
        return drivers.warehouse_url


@pytest.fixture
def table(installation: Installation, salesforce: Integration) -> str:
    """The table of accounts, synced once."""
    done = sync(installation, salesforce)
    assert done == 0
    return f'{salesforce.target_schema}."Account"'


def sync(installation: Installation, salesforce: Integration, *arguments: str, **environment: str) -> int:
    command = ("sync", salesforce.id, "--stream", "Account", "--quiet", *arguments)
    return installation.run(*command, environment=environment).code


def failure(installation: Installation, integration: Integration) -> Failure:
    found = installation.latest(integration).failure
    assert found is not None
    return found


def state(installation: Installation, integration: Integration) -> dict[str, str]:
    """stream → where its records are read from next."""
    return {one["stream"]: one["position"] for one in installation.run("state", integration.id, "--json").json}


def by_hand(warehouse: SecretStr, *statements: str) -> None:
    pool = engine(warehouse).execution_options(isolation_level="AUTOCOMMIT")
    try:
        with pool.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
    finally:
        pool.dispose()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param('ALTER TABLE {} DROP CONSTRAINT "Account_pkey"', id="the key dropped"),
        pytest.param('ALTER TABLE {} ALTER "NumberOfEmployees" TYPE text', id="a type made wider"),
        pytest.param("ALTER TABLE {} ADD COLUMN note text", id="a column added"),
        pytest.param('ALTER TABLE {} ALTER "Name" TYPE varchar(3) USING left("Name", 3)', id="a type made narrower"),
    ],
)
def test_what_the_loader_can_mend_it_mends_and_a_full_refresh_brings_everything_back(
    installation: Installation, salesforce: Integration, org: LocalOrg, warehouse: SecretStr, table: str, change: str
) -> None:
    by_hand(warehouse, change.format(table))
    org.churn("Account", update=10)
    assert sync(installation, salesforce) == 0
    assert sync(installation, salesforce, "--full-refresh") == 0
    assert not difference(org, warehouse, salesforce.target_schema, "Account")


_SKIPPING = "CREATE OR REPLACE FUNCTION public.skips() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"


@pytest.mark.parametrize(
    ("changes", "undo", "kind", "named"),
    [
        pytest.param(
            ["ALTER TABLE {} ADD COLUMN team text NOT NULL DEFAULT 'us'", "ALTER TABLE {} ALTER team DROP DEFAULT"],
            "ALTER TABLE {} DROP COLUMN team",
            FailureKind.SCHEMA_VIOLATION,
            'column "team"',
            id="a column that must have a value",
        ),
        pytest.param(
            ['ALTER TABLE {} ADD CONSTRAINT brief CHECK (length("Name") < 2) NOT VALID'],
            "ALTER TABLE {} DROP CONSTRAINT brief",
            FailureKind.DESTINATION_ERROR,
            "constraint brief",
            id="a constraint that rows violate",
        ),
        pytest.param(
            [_SKIPPING, "CREATE TRIGGER ours BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION public.skips()"],
            "DROP TRIGGER ours ON {}",
            FailureKind.DESTINATION_ERROR,
            "kept out by a trigger",
            id="a trigger that keeps rows out",
        ),
    ],
)
def test_what_it_cannot_mend_is_named_and_nothing_is_lost_once_it_is_undone(
    installation: Installation,
    salesforce: Integration,
    org: LocalOrg,
    warehouse: SecretStr,
    table: str,
    changes: list[str],
    undo: str,
    kind: FailureKind,
    named: str,
) -> None:
    before = state(installation, salesforce)
    by_hand(warehouse, *(change.format(table) for change in changes))
    org.churn("Account", update=10, insert=5)
    assert sync(installation, salesforce) == 1
    said = failure(installation, salesforce)
    assert (said.kind, said.origin) == (kind, Origin.DESTINATION)
    assert named in said.message
    assert table.replace('"', "") in said.message
    assert "by hand" in said.hint
    assert state(installation, salesforce) == before

    by_hand(warehouse, undo.format(table))
    assert sync(installation, salesforce) == 0
    assert not difference(org, warehouse, salesforce.target_schema, "Account")


def test_a_table_that_is_gone_is_not_made_anew_for_what_changed_since(
    installation: Installation, salesforce: Integration, org: LocalOrg, warehouse: SecretStr, table: str
) -> None:
    before = state(installation, salesforce)
    by_hand(warehouse, f"ALTER TABLE {table} RENAME TO aside")
    org.churn("Account", update=10, insert=5)
    assert sync(installation, salesforce) == 1
    said = failure(installation, salesforce)
    assert "is gone" in said.message
    assert f"orchestrator sync {salesforce.name} --full-refresh" in said.hint.replace("'", "")
    assert state(installation, salesforce) == before

    by_hand(warehouse, f'ALTER TABLE {salesforce.target_schema}.aside RENAME TO "Account"')
    assert sync(installation, salesforce) == 0
    assert not difference(org, warehouse, salesforce.target_schema, "Account")

    by_hand(warehouse, f"DROP TABLE {table}")
    assert sync(installation, salesforce) == 1
    assert sync(installation, salesforce, "--full-refresh") == 0
    assert not difference(org, warehouse, salesforce.target_schema, "Account")


def test_a_column_that_is_gone_is_not_made_anew_for_what_changed_since(
    installation: Installation, salesforce: Integration, org: LocalOrg, warehouse: SecretStr, table: str
) -> None:
    before = state(installation, salesforce)
    by_hand(warehouse, f'ALTER TABLE {table} RENAME COLUMN "Industry" TO trade')
    org.churn("Account", update=10, insert=5)
    assert sync(installation, salesforce) == 1
    said = failure(installation, salesforce)
    where = table.replace('"', "")
    assert f'{where} has lost the column "Industry"' in said.message
    assert f"orchestrator sync {salesforce.name} --full-refresh" in said.hint.replace("'", "")
    assert state(installation, salesforce) == before

    by_hand(warehouse, f'ALTER TABLE {table} RENAME COLUMN trade TO "Industry"')
    assert sync(installation, salesforce) == 0
    assert not difference(org, warehouse, salesforce.target_schema, "Account")

    by_hand(warehouse, f'ALTER TABLE {table} DROP COLUMN "Industry"')
    assert sync(installation, salesforce) == 1
    assert sync(installation, salesforce, "--full-refresh") == 0
    assert not difference(org, warehouse, salesforce.target_schema, "Account")


@pytest.fixture
def server(installation: Installation) -> Iterator[ServerAddress]:
    """The embedded server, with its superuser."""
    with installation.drivers() as drivers:
        yield drivers.postgres.start()


@pytest.fixture
def guest(warehouse: SecretStr, server: ServerAddress) -> Iterator[SecretStr]:
    """A login to the warehouse that may create nothing there."""
    name, there = f"guest_{token_hex(4)}", normalised(warehouse)
    here = normalised(server.url("postgres")).set(database=there.database)
    superuser = SecretStr(here.render_as_string(hide_password=False))
    by_hand(superuser, f"CREATE ROLE {name} LOGIN PASSWORD 'guest-{name}'")
    by_hand(superuser, f"GRANT CONNECT ON DATABASE {there.database} TO {name}")
    url = there.set(username=name, password=f"guest-{name}")
    yield SecretStr(url.render_as_string(hide_password=False))
    by_hand(superuser, f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


def test_a_warehouse_user_who_may_create_nothing_is_told_what_to_grant(
    installation: Installation,
    salesforce: Integration,
    org: LocalOrg,
    warehouse: SecretStr,
    server: ServerAddress,
    guest: SecretStr,
) -> None:
    assert sync(installation, salesforce, WAREHOUSE_URL=guest.get_secret_value()) == 1
    said = failure(installation, salesforce)
    assert said.kind is FailureKind.PERMISSION_MISSING
    assert "Grant" in said.hint
    assert guest.get_secret_value() not in f"{said.message}{said.hint}"
    assert state(installation, salesforce) == {}

    there = normalised(guest)
    by_hand(server.url("postgres"), f"GRANT CREATE, TEMPORARY ON DATABASE {there.database} TO {there.username}")
    assert sync(installation, salesforce, WAREHOUSE_URL=guest.get_secret_value()) == 0
    assert not difference(org, guest, salesforce.target_schema, "Account")


def test_of_two_installations_that_load_one_schema_at_once_one_does_and_the_other_says_so(
    installation: Installation, salesforce: Integration, own_home: Installation, org: LocalOrg, warehouse: SecretStr
) -> None:
    other = own_home.add(salesforce.name, values_of(org), ["Account"])
    assert other.target_schema == salesforce.target_schema
    there = {"WAREHOUSE_URL": warehouse.get_secret_value()}
    both = (
        (installation, salesforce, installation.start("sync", salesforce.id, "--stream", "Account")),
        (own_home, other, own_home.start("sync", other.id, "--stream", "Account", environment=there)),
    )
    (code, _, winner), (refused, place, loser) = sorted(
        ((run.end().code, place, integration) for place, integration, run in both), key=lambda one: one[0]
    )
    assert (code, refused) == (0, 1)
    said = failure(place, loser)
    assert f"is loaded by Orchestrator integration {winner.id} already" in said.message
    assert f'COMMENT ON SCHEMA "{loser.target_schema}" IS NULL' in said.hint
    assert not difference(org, warehouse, salesforce.target_schema, "Account")


@pytest.fixture
def small_disk(
    installation: Installation, salesforce: Integration, warehouse: SecretStr, server: ServerAddress
) -> Iterator[Path]:
    """The file system that new tables of the warehouse are on: 64 KiB."""
    place = Path(mkdtemp(prefix="small-", dir="/tmp"))
    owner = Path(server.host).stat()
    options = f"size=64k,mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
    mount = ("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        place.rmdir()
        pytest.skip("a small file system can't be mounted here; that needs root")
    place.chmod(0o700)
    user, superuser = normalised(warehouse).username, server.url("postgres")
    by_hand(
        superuser,
        f"CREATE TABLESPACE small LOCATION '{place}'",
        f"GRANT CREATE ON TABLESPACE small TO {user}",
        f"ALTER ROLE {user} SET default_tablespace = small",
    )
    yield place
    by_hand(superuser, f"ALTER ROLE {user} RESET default_tablespace")
    by_hand(warehouse, f"DROP SCHEMA IF EXISTS {salesforce.target_schema} CASCADE")
    by_hand(superuser, "CHECKPOINT", "DROP TABLESPACE small")
    subprocess.run(("umount", "-l", str(place)), check=True)
    place.rmdir()


def test_a_full_disk_of_the_warehouse_is_told_and_the_next_sync_loses_nothing(
    installation: Installation, salesforce: Integration, org: LocalOrg, warehouse: SecretStr, small_disk: Path
) -> None:
    assert sync(installation, salesforce) == 1
    said = failure(installation, salesforce)
    assert (said.kind, said.origin) == (FailureKind.DESTINATION_ERROR, Origin.DESTINATION)
    assert "The warehouse's disk is full" in said.message
    assert "Free space" in said.hint
    # No record counts as read; from when on deletions are asked for may be known already.
    assert all(position.startswith("deleted_until=") for position in state(installation, salesforce).values())

    subprocess.run(("mount", "-o", "remount,size=64m", str(small_disk)), check=True)
    assert sync(installation, salesforce) == 0
    assert not difference(org, warehouse, salesforce.target_schema, "Account")
