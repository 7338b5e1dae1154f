import os
import stat
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import psycopg
import pytest
from pydantic import SecretStr

from orchestrator.drivers.embedded_postgres import EmbeddedPostgres, binaries, cluster, databases, keeper
from orchestrator.drivers.embedded_postgres.keeper import Files
from orchestrator.kernel.db import normalised
from orchestrator.kernel.errors import TemporaryError

LONG = timedelta(minutes=5)
OLDER = """
CREATE TABLE public.loose (i int);
CREATE SCHEMA sales;
CREATE TABLE sales.orders (id serial PRIMARY KEY, line int GENERATED ALWAYS AS IDENTITY, name text);
CREATE TABLE sales.by_day (day date) PARTITION BY RANGE (day);
CREATE TABLE sales.one_day PARTITION OF sales.by_day DEFAULT;
CREATE VIEW sales.names AS SELECT name FROM sales.orders;
CREATE MATERIALIZED VIEW sales.counted AS SELECT count(*) FROM sales.orders;
CREATE SEQUENCE sales.numbers;
CREATE SCHEMA "od""d";
CREATE TABLE "od""d"."Ta""ble" (i int);
CREATE FUNCTION sales.reading() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT rolname FROM pg_authid LIMIT 1';
REVOKE EXECUTE ON FUNCTION sales.reading() FROM PUBLIC;
CREATE EXTENSION vector;
CREATE TABLE sales.member (i int);
ALTER EXTENSION vector ADD TABLE sales.member;
INSERT INTO sales.orders (name) VALUES ('kept');
"""


@contextmanager
def signed_in(url: SecretStr, **instead):
    """A session through the address that a loader gets, or one that differs from it."""
    at = normalised(url)
    told = {"user": at.username, "password": at.password, "dbname": at.database, **at.query, **instead}
    with psycopg.connect(**told, autocommit=True) as connection:
        yield connection


def value(url, statement, **instead):
    with signed_in(url, **instead) as connection:
        return connection.execute(statement).fetchone()[0]


def files_of(home):
    return Files(home / "postgres")


def end(home):
    """Stop the server, whoever has a lease."""
    if (pid := EmbeddedPostgres(home).status().pid) is not None:
        assert keeper.stop(pid, files_of(home))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One server for the tests that take nothing away from it."""
    home = tmp_path_factory.mktemp("logins") / "home"
    server = EmbeddedPostgres(home, linger=LONG)
    yield server.start()
    end(home)
    server.close()


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    yield home
    end(home)


@pytest.fixture
def server(home):
    made = EmbeddedPostgres(home, linger=LONG)
    yield made
    made.close()


def make_older(server, home):
    """Turn a server into one from before the warehouse had a login, as it was while in use."""
    address = server.start()
    admin = address.url("orchestrator")
    with signed_in(admin) as connection:
        connection.execute("DROP DATABASE warehouse")
        connection.execute("DROP ROLE warehouse")
        connection.execute("CREATE DATABASE warehouse")
        for name in ("orchestrator", "postgres", "template1"):
            connection.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO PUBLIC")
    with signed_in(admin, dbname="warehouse") as connection:
        connection.execute(OLDER)
    files_of(home).warehouse_password.unlink()
    return admin


# --- what the warehouse's login can not do ----------------------------------------------------------------


@pytest.mark.parametrize("database", ["orchestrator", "postgres", "template1"])
def test_the_loaders_login_reaches_no_other_database(shared, database):
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        value(shared.url("warehouse"), "SELECT 1", dbname=database)


def test_the_two_logins_have_nothing_in_common(shared):
    loader, control = normalised(shared.url("warehouse")), normalised(shared.url("orchestrator"))
    assert (loader.username, control.username) == ("warehouse", "orchestrator")
    assert loader.password != control.password
    for user, password in (("orchestrator", loader.password), ("warehouse", control.password)):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            value(shared.url("warehouse"), "SELECT 1", user=user, password=password)
    assert loader.password not in repr(shared)


def test_however_many_connections_it_opens_there_are_some_left_for_us(shared):
    with ExitStack() as stack:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            for _ in range(100):
                stack.enter_context(signed_in(shared.url("warehouse")))
        assert (
            value(shared.url("orchestrator"), "SELECT count(*) FROM pg_stat_activity WHERE usename = 'warehouse'") == 60
        )


def test_who_connects_and_says_nothing_is_soon_hung_up_on(shared):
    assert value(shared.url("orchestrator"), "SHOW authentication_timeout") == "10s"


def test_its_role_has_no_rights_over_the_server_and_is_in_no_group(shared):
    rights = "rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
    with signed_in(shared.url("warehouse")) as connection:
        assert connection.execute(f"SELECT {rights} FROM pg_roles WHERE rolname = current_user").fetchone() == (
            *(False,) * 5,
        )
        groups = "SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole"
        assert connection.execute(groups).fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER ROLE warehouse SUPERUSER",
        "ALTER ROLE warehouse BYPASSRLS",
        "ALTER ROLE orchestrator PASSWORD 'x'",
        "SET ROLE orchestrator",
        "SET SESSION AUTHORIZATION orchestrator",
        "CREATE ROLE another",
        "CREATE DATABASE another",
        "ALTER DATABASE orchestrator OWNER TO warehouse",
        "GRANT CONNECT ON DATABASE orchestrator TO warehouse",
        "ALTER SYSTEM SET log_statement = 'all'",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_shadow",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "COPY (SELECT 1) TO '/tmp/never'",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "CREATE EXTENSION file_fdw",
        "LOAD 'pg_prewarm'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'",
    ],
)
def test_it_can_not_rise_above_itself_nor_touch_the_servers_files(shared, statement):
    with signed_in(shared.url("warehouse")) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement)
    assert isinstance(caught.value, psycopg.errors.InsufficientPrivilege | psycopg.errors.FeatureNotSupported)


def test_a_database_made_later_is_closed_to_it_too(home, server):
    url = server.start().url("warehouse")
    late = EmbeddedPostgres(home, databases=("late",))
    address = late.start()
    assert value(address.url("late"), "SELECT current_user") == "orchestrator"
    assert normalised(address.url("warehouse")).username == "orchestrator"  # it asked for no warehouse
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        value(url, "SELECT 1", dbname="late")
    late.close()


# --- what it can do ---------------------------------------------------------------------------------------


def test_it_loads_in_bulk_into_schemas_and_tables_of_its_own(shared):
    with signed_in(shared.url("warehouse")) as connection:
        connection.execute("CREATE SCHEMA loaded")
        connection.execute("CREATE TABLE loaded.people (id int PRIMARY KEY, name text)")
        connection.execute("CREATE UNLOGGED TABLE loaded.aside (LIKE loaded.people)")
        connection.execute("CREATE TEMPORARY TABLE beside (LIKE loaded.people)")
        with connection.cursor().copy("COPY loaded.aside FROM STDIN") as copy:
            for row in ((1, "Ä"), (2, None)):
                copy.write_row(row)
        connection.execute("INSERT INTO loaded.people SELECT * FROM loaded.aside ON CONFLICT (id) DO NOTHING")
        connection.execute("ALTER TABLE loaded.people ADD COLUMN at timestamptz")
        connection.execute("CREATE TABLE public.loose (i int)")
        assert connection.execute("SELECT count(*), count(name) FROM loaded.people").fetchone() == (2, 1)
        connection.execute("DROP SCHEMA loaded CASCADE")
        connection.execute("DROP TABLE public.loose")


# --- where it comes from ----------------------------------------------------------------------------------


def test_its_password_is_a_file_for_us_alone(home, server):
    server.start()
    files = files_of(home)
    files.warehouse_password.chmod(0o644)
    server.start()
    assert stat.S_IMODE(files.warehouse_password.stat().st_mode) == 0o600
    assert files.warehouse_password.stat().st_uid == files.root.stat().st_uid
    told = normalised(server.start().url("warehouse")).password
    assert files.warehouse_password.read_text() == told
    assert told not in files.log.read_text()


@pytest.mark.parametrize("how", ["warm", "cold"])
def test_a_cluster_from_before_the_login_is_handed_over(home, server, how):
    admin = make_older(server, home)
    if how == "cold":
        end(home)
    url = server.start().url("warehouse")
    for name in ("orchestrator", "postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            value(url, "SELECT 1", dbname=name)
    with signed_in(url) as connection:
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'warehouse'"
        assert connection.execute(owner).fetchone() == ("warehouse",)
        left = """
            SELECT c.oid::regclass::text, relowner::regrole::text FROM pg_class c
            WHERE relkind NOT IN ('i', 't') AND relowner <> current_user::regrole
              AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^(pg_|information_schema)')
        """
        assert connection.execute(left).fetchall() == [("sales.member", "orchestrator")]  # an extension's
        assert connection.execute("INSERT INTO sales.orders (name) VALUES ('more') RETURNING id").fetchone() == (2,)
        assert connection.execute("SELECT array_agg(name ORDER BY id) FROM sales.orders").fetchone() == (
            ["kept", "more"],
        )
        connection.execute("REFRESH MATERIALIZED VIEW sales.counted")
        connection.execute('DROP SCHEMA "od""d" CASCADE')
        connection.execute("DROP TABLE public.loose")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT sales.reading()")
    assert value(admin, "SELECT current_user") == "orchestrator"


def test_a_hand_over_that_broke_off_is_gone_on_with_and_never_waits_for_ever(home, server, monkeypatch):
    admin = make_older(server, home)
    monkeypatch.setattr(databases, "_OPTIONS", databases._OPTIONS.replace("10s", "10ms"))
    with signed_in(admin, dbname="warehouse") as busy:
        busy.execute("BEGIN; LOCK TABLE sales.orders")
        with pytest.raises(TemporaryError, match="lock timeout"):
            server.start()
    assert value(server.start().url("warehouse"), "SELECT name FROM sales.orders") == "kept"


def test_a_lost_password_file_is_made_anew_while_the_server_runs(home, server):
    before = server.start().url("warehouse")
    files_of(home).warehouse_password.unlink()
    joining = EmbeddedPostgres(home)
    after = joining.start().url("warehouse")
    assert after != before
    assert value(after, "SELECT current_user") == "warehouse"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        value(before, "SELECT 1")
    joining.close()


def test_an_empty_password_file_is_a_lost_one(home, server):
    server.start()
    files_of(home).warehouse_password.write_text("")
    assert value(server.start().url("warehouse"), "SELECT current_user") == "warehouse"


def test_what_a_loader_did_to_its_own_login_and_database_is_healed_by_a_cold_start_and_keeps_nobody_out(home, server):
    url = server.start().url("warehouse")
    with signed_in(url) as connection:
        connection.execute("ALTER ROLE warehouse PASSWORD 'changed'")
        connection.execute("ALTER DATABASE warehouse SET default_transaction_read_only = on")
        connection.execute("ALTER DATABASE warehouse SET statement_timeout = '1ms'")
    with signed_in(server.start().url("orchestrator")) as connection:
        connection.execute("ALTER ROLE warehouse SUPERUSER CREATEROLE")
        connection.execute("GRANT CONNECT ON DATABASE orchestrator TO PUBLIC")
    end(home)
    address = server.start()
    assert address.url("warehouse") == url
    assert value(address.url("orchestrator"), "SELECT 1") == 1
    rights = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    assert value(url, rights, options="-c statement_timeout=0") is False
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        value(url, "SELECT 1", dbname="orchestrator")


def test_a_warm_start_reads_the_login_without_a_session(home, server, monkeypatch):
    url = server.start().url("warehouse")

    def refused(*_, **__):
        raise AssertionError("not on the warm path")

    monkeypatch.setattr(psycopg, "connect", refused)
    joined = EmbeddedPostgres(home)
    assert joined.start().url("warehouse") == url
    joined.close()


def test_postgres_before_15_gives_the_login_its_public_schema_alone(home):
    older = binaries.wheel_folder() / "pginstall" / "bin"
    server = EmbeddedPostgres(home, binaries=older, linger=LONG)
    admin = make_older(server, home)
    with signed_in(admin, dbname="warehouse") as connection:  # as Postgres 14 makes it
        connection.execute("ALTER SCHEMA public OWNER TO orchestrator")
        connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    url = server.start().url("warehouse")
    owner = "SELECT nspowner::regrole::text || has_schema_privilege('public', oid, 'CREATE')::text FROM pg_namespace"
    assert value(url, f"{owner} WHERE nspname = 'public'") == "warehousefalse"
    server.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="is about what root leaves to the owner")
def test_a_secret_that_root_writes_belongs_to_the_owner_of_the_folder(tmp_path):
    folder = tmp_path / "hers"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    cluster.keep_secret(folder / "secret", "kept")
    state = (folder / "secret").stat()
    assert (state.st_uid, stat.S_IMODE(state.st_mode)) == (65534, 0o600)
