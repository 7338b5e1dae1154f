import pytest
from pydantic import SecretStr
from sqlalchemy import text

from orchestrator.drivers import warehouse
from orchestrator.drivers.warehouse import QueryError, WarehouseAwayError
from orchestrator.kernel.db import engine

CONTENT = (
    "SELECT array_agg(table_schema || '.' || table_name) FROM information_schema.tables WHERE table_schema !~ '^pg_'"
)
PROCEDURE = """
CREATE PROCEDURE looking.leaving() LANGUAGE plpgsql AS $$
BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO looking.kept VALUES (2); END $$
"""
WRITER = """
CREATE FUNCTION looking.writing() RETURNS int LANGUAGE sql AS 'INSERT INTO looking.kept VALUES (2) RETURNING i'
"""


@pytest.fixture(scope="module")
def address(server):
    """The warehouse, with one row in one table of a schema."""
    address = server.url("warehouse")
    pool = engine(address)
    with pool.begin() as connection:
        connection.execute(text("CREATE SCHEMA looking"))
        connection.execute(text("CREATE TABLE looking.kept AS SELECT 1 AS i"))
        connection.execute(text("CREATE SEQUENCE looking.numbers"))
        connection.execute(text(PROCEDURE))
        connection.execute(text(WRITER))
    yield address
    warehouse.drop_schema(address, "looking")
    pool.dispose()


def content(address):
    """Everything in the warehouse, through a connection that could see what others committed."""
    pool = engine(address)
    with pool.connect() as connection:
        tables = connection.scalar(text(CONTENT))
        row = connection.execute(text("SELECT i, last_value, is_called FROM looking.kept, looking.numbers")).all()
    pool.dispose()
    return sorted(tables), row


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE x (i int)",
        "COMMIT; CREATE TABLE x (i int)",
        "SELECT 1; SELECT 2",
        "SET TRANSACTION READ WRITE; CREATE TABLE x (i int); COMMIT",
        "SET TRANSACTION READ WRITE",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET transaction_read_only = off",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "BEGIN",
        "BEGIN READ WRITE",
        "START TRANSACTION READ WRITE",
        "COMMIT",
        "COMMIT AND CHAIN",
        "ROLLBACK",
        "ROLLBACK TO SAVEPOINT reading",
        "RELEASE SAVEPOINT reading",
        "CALL looking.leaving()",
        "SELECT looking.writing()",
        "DO $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO looking.kept VALUES (2); END $$",
        "DO $$ BEGIN SET TRANSACTION READ WRITE; INSERT INTO looking.kept VALUES (2); END $$",
        "WITH made AS (INSERT INTO looking.kept VALUES (2) RETURNING i) SELECT * FROM made",
        "EXPLAIN ANALYZE INSERT INTO looking.kept VALUES (2)",
        "SELECT nextval('looking.numbers')",
        "SELECT i FROM looking.kept FOR UPDATE",
        "COPY looking.kept TO STDOUT",
        "COPY looking.kept FROM STDIN",
        "VACUUM",
        "",
        "-- nothing",
        "SELECT nonsense",
    ],
)
def test_what_could_write_or_gives_no_rows_is_refused_and_changes_nothing(address, sql):
    before = content(address)
    with pytest.raises(QueryError):
        warehouse.look(address, sql, limit=10)
    assert content(address) == before


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("SELECT i FROM looking.kept", (1,)),
        ("SELECT i FROM looking.kept;", (1,)),
        ("TABLE looking.kept", (1,)),
        ("VALUES ('100 %s', NULL)", ("100 %s", None)),
        ("WITH one AS (SELECT 1) SELECT * FROM one", (1,)),
        ("SHOW transaction_read_only", ("on",)),
    ],
)
def test_every_statement_that_reads_is_run(address, sql, first):
    assert warehouse.look(address, sql, limit=10).rows == (first,)


def test_a_plan_can_be_looked_at(address):
    assert "kept" in warehouse.look(address, "EXPLAIN SELECT * FROM looking.kept", limit=10).rows[0][0]


def test_rows_end_at_the_limit_and_it_is_said_that_there_are_more(address):
    numbers = "SELECT n, n * 2 AS double FROM (SELECT generate_series(1, {}) AS n) AS counted"
    found = warehouse.look(address, numbers.format(2_000_000_000), limit=2)
    assert (found.columns, found.rows, found.more) == (("n", "double"), ((1, 2), (2, 4)), True)
    assert not warehouse.look(address, numbers.format(2), limit=2).more
    nothing = warehouse.look(address, numbers.format(0), limit=2)
    assert (nothing.rows, nothing.more) == ((), False)


def test_a_refusal_is_postgres_s_own_words(address):
    with pytest.raises(QueryError, match=r'refused this: column "nonsense" does not exist$'):
        warehouse.look(address, "SELECT nonsense", limit=1)
    with pytest.raises(QueryError, match="cannot insert multiple commands"):
        warehouse.look(address, "SELECT 1; SELECT 2", limit=1)
    with pytest.raises(QueryError, match="cannot set transaction read-write mode inside a read-only transaction"):
        warehouse.look(address, "SET TRANSACTION READ WRITE", limit=1)


def test_a_warehouse_that_goes_away_or_was_never_there_is_told_from_a_refusal(address):
    with pytest.raises(WarehouseAwayError):
        warehouse.look(address, "SELECT pg_terminate_backend(pg_backend_pid())", limit=1)
    with pytest.raises(WarehouseAwayError):
        warehouse.look(SecretStr("postgresql://nobody@127.0.0.1:1/nothing"), "SELECT 1", limit=1)


def test_a_schema_is_dropped_with_all_in_it_whatever_its_name(address):
    pool = engine(address)
    with pool.begin() as connection:
        connection.execute(text('CREATE SCHEMA "a""b"'))
        connection.execute(text('CREATE TABLE "a""b".t (i int)'))
    warehouse.drop_schema(address, 'a"b')
    warehouse.drop_schema(address, 'a"b')
    pool.dispose()
    gone = warehouse.look(address, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'a%b'", limit=1)
    assert gone.rows == ((0,),)
