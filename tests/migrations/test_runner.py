import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError, ProgrammingError

import orchestrator.migrations.env_tables  # noqa: F401 - fills the metadata
from orchestrator.domains.identity import service as identity
from orchestrator.drivers.embedded_postgres import EmbeddedPostgres
from orchestrator.kernel.db import SCHEMA, Database, Table, engine, normalised
from orchestrator.kernel.errors import ConflictError
from orchestrator.kernel.ids import uuid7
from orchestrator.migrations import runner

ACROSS_ORGANIZATIONS = {"organization_named", "organization_ids", "open_attempts", "dispatch", "requeue_unclaimed", "slots_taken",
    "place_in_line", "prune_history",
    "claim_due_schedules", "claim_due_check", "claim_due_looks", "queue_figures", "scheduler_lag", "integration_figures",
    "leave_out_deleted", "count_run"}  # fmt: skip


@pytest.fixture
def empty(server) -> Iterator[SecretStr]:
    """A database with nothing in it, on the session's server."""
    admin = create_engine(normalised(server.url("orchestrator")), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS empty WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE empty"))
    yield server.url("empty")
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS empty WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def pool(empty) -> Iterator[Engine]:
    made = engine(empty)
    yield made
    made.dispose()


def test_migrating_twice_changes_nothing_the_second_time(pool):
    assert runner.migrate(pool) == (None, runner.head())
    assert runner.migrate(pool) == (runner.head(), runner.head())


def test_the_newest_file_is_alembics_head():
    config = Config()
    config.set_main_option("script_location", str(runner._FOLDER))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [runner.head()]
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(runner.revisions())


def test_the_mapped_classes_are_what_the_migrations_make(pool):
    runner.migrate(pool)
    with pool.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
                "version_table_schema": SCHEMA,
            },
        )
        assert compare_metadata(context, Table.metadata) == []


def test_an_empty_database_is_told_from_an_old_and_a_newer_one(pool):
    with pool.begin() as connection, pytest.raises(runner.NotMigratedError):
        runner.check(connection)
    runner.migrate(pool)
    with pool.begin() as connection:
        runner.check(connection)
        connection.execute(text("UPDATE orchestrator.alembic_version SET version_num = '2026_11_21_0800'"))
        with pytest.raises(runner.NotMigratedError, match="2026_11_21_0800"):
            runner.check(connection)
        connection.execute(text("UPDATE orchestrator.alembic_version SET version_num = '2099_01_01_0000'"))
    with pool.begin() as connection, pytest.raises(runner.NewerDatabaseError):
        runner.check(connection)
    with pytest.raises(runner.NewerDatabaseError):
        runner.migrate(pool)


def test_somebody_elses_integrations_in_public_are_neither_touched_nor_tripped_over(pool):
    with pool.begin() as connection:
        connection.execute(text("CREATE TABLE public.integrations (id int PRIMARY KEY, config text)"))
        connection.execute(text("INSERT INTO public.integrations VALUES (1, 'mine')"))
        connection.execute(text("CREATE TABLE public.alembic_version (version_num text)"))
        connection.execute(text("INSERT INTO public.alembic_version VALUES ('theirs')"))
    runner.migrate(pool)
    with pool.begin() as connection:
        assert connection.execute(text("SELECT * FROM public.integrations")).all() == [(1, "mine")]
        assert connection.scalar(text("SELECT version_num FROM public.alembic_version")) == "theirs"
        public = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        assert sorted(public) == ["alembic_version", "integrations"]


def test_a_login_that_is_no_superuser_can_migrate_a_server_we_have_never_seen(tmp_path):
    postgres = EmbeddedPostgres(tmp_path / "home", linger=timedelta(0))
    try:
        address = postgres.start()
        admin = create_engine(normalised(address.url("orchestrator")), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("CREATE ROLE plain LOGIN CREATEROLE PASSWORD 'plain'"))
            connection.execute(text("CREATE DATABASE theirs OWNER plain"))
        admin.dispose()
        url = normalised(address.url("theirs")).set(username="plain", password="plain")
        plain = engine(SecretStr(url.render_as_string(hide_password=False)))
        assert runner.migrate(plain) == (None, runner.head())
        place = identity.ensure(Database(plain), "acme")
        assert identity.find(Database(plain), "acme") == place
        plain.dispose()
    finally:
        postgres.close()


def test_a_login_that_may_create_nothing_is_told_so(pool, empty):
    with pool.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS weak"))
        connection.execute(text("CREATE ROLE weak LOGIN PASSWORD 'weak'"))
    url = normalised(empty).set(username="weak", password="weak")
    weak = engine(SecretStr(url.render_as_string(hide_password=False)))
    try:
        with pytest.raises(runner.UnsuitableDatabaseError):
            runner.migrate(weak)
    finally:
        weak.dispose()
        with pool.begin() as connection:
            connection.execute(text("DROP ROLE weak"))


def test_every_table_with_an_organization_is_under_forced_row_level_security(pool):
    runner.migrate(pool)
    with pool.begin() as connection:
        rows = connection.execute(
            text("""
            SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,
                   EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenant'
                           AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL),
                   pg_get_userbyid(c.relowner)
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'orchestrator' AND c.relkind = 'r'
              AND c.relname NOT IN ('alembic_version', 'integration_providers', 'workers', 'installation',
                                    'run_totals')
            """)
        ).all()
    assert len(rows) >= 14
    assert {(forced, policy, owner) for _, forced, policy, owner in rows} == {(True, True, "orchestrator_owner")}


def test_only_the_reviewed_functions_look_across_organizations(pool):
    runner.migrate(pool)
    with pool.begin() as connection:
        definers = connection.execute(
            text("""
            SELECT p.proname, p.proconfig, has_function_privilege('public', p.oid, 'EXECUTE')
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname = 'orchestrator' AND p.prosecdef
            """)
        ).all()
    assert {name for name, _, _ in definers} == ACROSS_ORGANIZATIONS
    paths = (
        ["search_path=pg_catalog, pg_temp"],
        ["search_path=orchestrator_queue, pg_catalog, pg_temp"],
    )  # only the owner may create there; temporary tables, which anybody may make, come last
    assert all(config in paths and not public for _, config, public in definers)


def test_no_temporary_table_stands_in_for_one_that_a_reviewed_function_means(pool):
    runner.migrate(pool)
    with pool.begin() as connection:
        connection.execute(text("SET LOCAL ROLE orchestrator_worker"))
        connection.execute(text("CREATE TEMPORARY TABLE procrastinate_jobs (queue_name text, args jsonb)"))
        connection.execute(text("GRANT ALL ON procrastinate_jobs TO PUBLIC"))
        connection.execute(
            text("""
            CREATE FUNCTION pg_temp.became() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'became %', current_user; END $$
            """)
        )
        connection.execute(
            text("CREATE TRIGGER t BEFORE DELETE ON procrastinate_jobs EXECUTE FUNCTION pg_temp.became()")
        )
        assert connection.scalar(text("SELECT orchestrator.requeue_unclaimed('10 seconds', '15 seconds')")) == 0


def test_no_role_can_leave_row_level_security(pool):
    runner.migrate(pool)
    with pool.begin() as connection:
        roles = connection.execute(
            text("""
            SELECT rolname, rolsuper OR rolbypassrls OR rolcanlogin OR pg_has_role(rolname, 'orchestrator_owner', 'member')
            FROM pg_roles WHERE rolname IN ('orchestrator_app', 'orchestrator_worker', 'orchestrator_scheduler')
            """)
        ).all()
    assert sorted(roles) == [
        ("orchestrator_app", False),
        ("orchestrator_scheduler", False),
        ("orchestrator_worker", False),
    ]


@pytest.mark.parametrize("role", ["orchestrator_app", "orchestrator_worker", "orchestrator_scheduler"])
@pytest.mark.parametrize("statement", [
    "SELECT last_turn FROM orchestrator.installation",
    "SELECT * FROM orchestrator.installation",
    "UPDATE orchestrator.installation SET last_turn = NULL",
])  # fmt: skip
def test_no_role_learns_which_organization_had_its_turn(pool, role, statement):
    runner.migrate(pool)
    with pytest.raises(ProgrammingError, match="permission denied"), pool.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {role}"))
        connection.execute(text(statement))


ROWS = """
INSERT INTO orchestrator.organizations (id, slug, name) VALUES (:org, :slug, :slug);
INSERT INTO orchestrator.workspaces (org_id, id, slug, name) VALUES (:org, :org, 'w', 'w');
INSERT INTO orchestrator.integration_credentials (org_id, id, provider) VALUES (:org, :org, 'p');
INSERT INTO orchestrator.destinations (org_id, id, type, name, config{variant[0]})
    VALUES (:org, :org, :type, 'd', :config{variant[1]});
INSERT INTO orchestrator.integrations
    (org_id, id, workspace_id, type, variant, name, credential_id, destination_id, target_schema{claim[0]})
    VALUES (:org, :org, :org, 't', 'v', 'n', :org, :org, 'sales'{claim[1]});
"""


def fill(connection, slug, *, kind="warehouse", config="{}", newest=True):
    """An organization with one integration that loads into the schema `sales`; answers its id, which all rows have.

    newest:  with the columns that later migrations added
    """
    org = uuid7()
    variant, claim = ((", variant", ", 'v'"), (", in_warehouse", ", true")) if newest else (("", ""), ("", ""))
    for statement in ROWS.format(variant=variant, claim=claim).split(";")[:-1]:
        names = re.findall(r":(\w+)", statement)
        given = {"org": org, "slug": slug, "type": kind, "config": config}
        connection.execute(text(statement), {name: given[name] for name in names})
    return org


@pytest.fixture
def migrated_to(pool):
    """Migrate the empty database to an older revision first."""

    def to(revision):
        with pool.connect() as connection, connection.begin():
            runner._prepare(connection)
            config = Config()
            config.set_main_option("script_location", str(runner._FOLDER))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    return to


def test_schemas_of_the_warehouse_are_claimed_when_a_database_is_migrated(pool, migrated_to):
    migrated_to("2026_11_21_1000")
    own = '{"connection": {"server": "own"}}'
    with pool.begin() as connection:
        fill(connection, "one", newest=False)
        fill(connection, "two", config=own, newest=False)
        fill(connection, "three", kind="jsonl", newest=False)
    runner.migrate(pool)
    with pool.begin() as connection:
        claimed = connection.execute(
            text("SELECT o.slug, in_warehouse FROM orchestrator.integrations i JOIN orchestrator.organizations o"
                 " ON o.id = i.org_id")
        ).all()  # fmt: skip
        loaders = connection.scalars(text("SELECT DISTINCT variant FROM orchestrator.destinations")).all()
    assert sorted(claimed) == [("one", True), ("three", False), ("two", False)]
    assert loaders == ["orchestrator"]


def test_a_schema_that_two_organizations_share_stops_the_migration_and_is_named(pool, migrated_to):
    migrated_to("2026_11_21_1000")
    with pool.begin() as connection:
        shared = sorted(str(fill(connection, slug, newest=False)) for slug in ("one", "two"))
    with pytest.raises(ConflictError, match="sales") as caught:
        runner.migrate(pool)
    assert all(one in caught.value.message for one in shared)
    with pool.begin() as connection:
        assert runner.current(connection) == "2026_11_21_1000"


def test_a_history_with_absurd_counts_is_totalled(pool, migrated_to):
    migrated_to("2026_11_29_1800")
    with pool.begin() as connection:
        org = fill(connection, "one")
        connection.execute(
            text("INSERT INTO orchestrator.runs (org_id, id, integration_id, trigger, timeout, status, started_at,"
                 " finished_at) VALUES (:org, :org, :org, 'person', '1 hour', 'succeeded', now(), now())"),
            {"org": org},
        )  # fmt: skip
        for stream in ("users", "teams", "issues"):
            connection.execute(
                text("INSERT INTO orchestrator.run_streams (org_id, run_id, stream, records_read, records_written, bytes)"
                     " VALUES (:org, :org, :stream, :most, :most, :most)"),
                {"org": org, "stream": stream, "most": 2**63 - 1},
            )  # fmt: skip
    runner.migrate(pool)
    with pool.begin() as connection:
        totals = connection.execute(text("SELECT runs, records_read, bytes FROM orchestrator.run_totals")).one()
    assert tuple(totals) == (1, 3 * (2**63 - 1), 3 * (2**63 - 1))


def test_a_schema_of_the_warehouse_is_claimed_once_whoever_looks(pool):
    runner.migrate(pool)
    with pool.begin() as connection:
        fill(connection, "one")
    with pytest.raises(IntegrityError, match="integrations_warehouse_schema"), pool.begin() as connection:
        fill(connection, "two")


def test_the_app_can_not_delete_history(pool):
    runner.migrate(pool)
    with pool.begin() as connection:
        org = fill(connection, "one")
        connection.execute(
            text("INSERT INTO orchestrator.stream_states (org_id, integration_id, stream, reason)"
                 " VALUES (:org, :org, 's', 'reset')"), {"org": org},
        )  # fmt: skip

    def as_app(statement):
        with pool.begin() as connection:
            connection.execute(
                text("SELECT set_config('role', 'orchestrator_app', true), set_config('app.org_id', :org, true)"),
                {"org": str(org)},
            )
            return connection.execute(text(statement)).rowcount

    with pytest.raises(IntegrityError, match="stream_states"):
        as_app("DELETE FROM orchestrator.integrations")
    assert as_app("UPDATE orchestrator.integrations SET setup_state = 'connected'") == 1
    assert as_app("DELETE FROM orchestrator.integrations") == 0, "it is no draft any more"
    kept = ("organizations", "workspaces", "destinations", "runs", "stream_states", "integration_sync_logs",
            "run_attempts", "run_streams", "events")  # fmt: skip
    for table in kept:
        with pytest.raises(ProgrammingError, match="permission denied"):
            as_app(f"DELETE FROM orchestrator.{table}")


def test_no_history_goes_with_what_it_is_about(pool):
    runner.migrate(pool)
    with pool.begin() as connection:
        cascading = connection.scalars(
            text("""
            SELECT c.relname FROM pg_constraint JOIN pg_class c ON c.oid = conrelid
            WHERE contype = 'f' AND confdeltype <> 'a'
              AND confrelid IN ('orchestrator.integrations'::regclass, 'orchestrator.runs'::regclass)
            """)
        ).all()
    assert sorted(cascading) == ["integration_health", "integration_streams"]
