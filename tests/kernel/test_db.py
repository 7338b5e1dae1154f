import threading
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from orchestrator.domains.identity import service as identity
from orchestrator.kernel import ids
from orchestrator.kernel.db import Database, DatabaseAwayError, DatabaseBusyError, Role, engine, normalised
from orchestrator.kernel.errors import InvalidConfigError
from orchestrator.kernel.settings import RunSettings


@pytest.mark.parametrize(
    "spelling",
    [
        "postgres://u:p@h:5432/d",
        "postgresql://u:p@h:5432/d",
        "postgresql+psycopg2://u:p@h:5432/d",
        " postgres://u:p@h:5432/d\n",
    ],
)
def test_every_usual_spelling_of_an_address_is_understood(spelling):
    url = normalised(SecretStr(spelling))
    assert (url.drivername, url.host, url.database) == ("postgresql+psycopg", "h", "d")


@pytest.mark.parametrize("wrong", ["mysql://u:hunter2@h/d", "hunter2", "", "postgres"])
def test_another_address_is_refused_without_showing_it(wrong):
    with pytest.raises(InvalidConfigError) as caught:
        normalised(SecretStr(wrong))
    assert "hunter2" not in str(caught.value)


def test_a_transaction_pooler_gets_no_prepared_statements():
    pooled = engine(SecretStr("postgres://u:p@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true"))
    assert "pgbouncer" not in pooled.url.query
    assert _connect_arguments(pooled)["prepare_threshold"] is None


def test_a_direct_connection_keeps_prepared_statements():
    assert "prepare_threshold" not in _connect_arguments(engine(SecretStr("postgres://u:p@h:5432/d")))


def test_a_server_that_is_cut_off_is_noticed_before_a_lease_ends_unless_the_address_says_otherwise():
    given = _connect_arguments(engine(SecretStr("postgres://u:p@h:5432/d?keepalives_idle=99")))
    assert (given["tcp_user_timeout"], given["keepalives_interval"], int(given["keepalives_idle"])) == (20_000, 5, 99)


def _connect_arguments(pool):
    """What psycopg would be called with; the connection itself is refused here."""
    seen = {}

    @event.listens_for(pool, "do_connect")
    def note(dialect, record, arguments, keywords):
        seen.update(keywords)
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        pool.connect()
    return seen


def test_a_transaction_works_in_a_role_under_row_level_security(database, org_id):
    with database.transaction(org_id) as tx:
        role, bypass = tx.execute(
            text("SELECT current_user, rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = current_user")
        ).one()
    assert (role, bypass) == (Role.APP.value, False)


def test_an_organization_sees_nothing_of_another(database, org_id):
    other = identity.ensure(database, "other").org_id
    with database.transaction(other) as tx:
        assert tx.scalars(text("SELECT slug FROM orchestrator.organizations")).all() == ["other"]
        foreign = {"org": ids.decode("org", org_id)}
        added = (
            "INSERT INTO orchestrator.workspaces (org_id, id, slug, name) VALUES (:org, gen_random_uuid(), 'x', 'x')"
        )
        with pytest.raises(ProgrammingError, match="row-level security"):
            tx.execute(text(added), foreign)


def test_without_an_organization_nothing_is_seen(database, org_id):
    with database.anonymous() as tx:
        assert tx.scalars(text("SELECT slug FROM orchestrator.organizations")).all() == []


def test_the_organization_does_not_stay_on_the_connection(database, org_id):
    with database.transaction(org_id):
        pass
    with database.pool.connect() as connection:
        assert connection.scalar(text("SELECT NULLIF(current_setting('app.org_id', true), '')")) is None


def test_an_error_rolls_everything_back(database, org_id):
    with pytest.raises(RuntimeError), database.transaction(org_id) as tx:
        tx.execute(text("UPDATE orchestrator.workspaces SET name = 'changed'"))
        raise RuntimeError
    with database.transaction(org_id) as tx:
        assert tx.scalar(text("SELECT name FROM orchestrator.workspaces")) == "Default"


def test_a_server_that_is_away_is_a_temporary_error_without_the_address():
    away = Database(engine(SecretStr("postgres://u:hunter2@127.0.0.1:1/d")))
    with pytest.raises(DatabaseAwayError) as caught, away.anonymous():
        pass
    assert caught.value.exit_code == 75
    assert "hunter2" not in caught.value.message


def test_a_connection_killed_in_the_middle_is_a_temporary_error(database, org_id, database_url):
    with pytest.raises(DatabaseAwayError), database.transaction(org_id) as tx:
        pid = tx.scalar(text("SELECT pg_backend_pid()"))
        killer = create_engine(normalised(database_url))
        with killer.begin() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        killer.dispose()
        tx.execute(text("SELECT 1"))


def test_a_statement_that_a_migration_has_outdated_may_be_tried_again(database, database_url):
    migrating = create_engine(normalised(database_url), poolclass=NullPool)

    def migrate(statement):
        with migrating.begin() as connection:
            connection.execute(text(statement))

    def read():
        with database.connection() as connection:
            return connection.execute(text("SELECT entry FROM changed")).all()

    migrate("CREATE TABLE changed (entry jsonb)")
    database.pool.dispose()  # all that follows is asked over one connection
    try:
        for _ in range(10):  # often enough for it to be prepared
            read()
        migrate("ALTER TABLE changed ALTER COLUMN entry TYPE json")
        with pytest.raises(DatabaseBusyError):
            read()
        assert read() == []
    finally:
        migrate("DROP TABLE changed")


def test_a_process_paused_in_a_transaction_loses_it_so_that_nobody_waits_for_its_locks(database, org_id):
    lock = text("SELECT 1 FROM orchestrator.organizations FOR UPDATE")
    paused = Database(database.pool, idle="100ms")

    def pause():
        with paused.transaction(org_id) as tx:
            tx.execute(lock)
            with database.transaction(org_id) as other:  # waits for as long as the lock is held
                other.execute(text("SET LOCAL lock_timeout = '60s'"))
                assert other.execute(lock).all() == [(1,)]
            tx.execute(lock)

    with pytest.raises(DatabaseBusyError, match="idle-in-transaction"):
        pause()
    with Database(database.pool, idle="99s").anonymous() as tx:  # on a busy machine 100 ms pass before the question
        assert tx.scalar(text("SHOW idle_in_transaction_session_timeout")) == "99s"


def test_nobody_may_rest_in_a_transaction_for_as_long_as_a_lease_lasts(database, org_id):
    with database.transaction(org_id) as tx, database.anonymous() as another:
        for one in (tx, another):
            assert one.scalar(text("SHOW idle_in_transaction_session_timeout")) == "20s"
    assert timedelta(seconds=20) < RunSettings().lease
    with database.connection() as connection:
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "0", "it isn't the connection's"


def test_a_deadlock_is_no_server_that_is_away_and_may_be_tried_again(database, org_id):
    held, wanted = (text(f"SELECT pg_advisory_xact_lock({number})") for number in (71, 72))
    waiting, failures = threading.Barrier(2), []

    def lock(first, second):
        try:
            with database.transaction(org_id) as tx:
                tx.execute(first)
                waiting.wait(30)
                tx.execute(second)
        except DatabaseAwayError as failure:
            failures.append(failure)

    threads = [threading.Thread(target=lock, args=order) for order in ((held, wanted), (wanted, held))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    [failure] = failures
    assert isinstance(failure, DatabaseBusyError)
    assert failure.message == "The control-plane database gave up: deadlock detected"
    assert failure.exit_code == 75
