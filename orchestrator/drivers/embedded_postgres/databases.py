"""The databases of the embedded server, and who may sign in to which.

Our role is the cluster's superuser; it is for the control plane and for nobody else. The warehouse belongs to a
login of its own, which loaders and the questions of people get: it can make what it likes in there, and can neither
connect to another database nor touch the server's files, programs or roles.

What a loader could do to the settings of its own database and role must not keep the server from starting. So we
connect to the warehouse only as long as it is not its own yet, and a password it changed is set again.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pydantic import SecretStr

from orchestrator.drivers.embedded_postgres import cluster
from orchestrator.drivers.embedded_postgres.address import ServerAddress
from orchestrator.drivers.embedded_postgres.keeper import Files

if TYPE_CHECKING:
    import psycopg

WAREHOUSE = "warehouse"  # the database, and the role it belongs to
SHARE = 0.6  # of the server's connections, that the warehouse's login may have open at once
_OF_POSTGRES = ("postgres", "template1")  # come with every cluster and let everybody in

# Names in a statement mean Postgres's own; and whoever holds a table makes us fail, not wait for ever.
_OPTIONS = "-c search_path=pg_catalog -c lock_timeout=10s"

# Ours are those of the superuser, without Postgres's own and without members of extensions.
_OUR_SCHEMAS = """
    SELECT nspname FROM pg_namespace s
    WHERE nspowner = current_user::regrole AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
      AND NOT EXISTS
          (SELECT FROM pg_depend WHERE classid = 'pg_namespace'::regclass AND objid = s.oid AND deptype = 'e')
"""
# Tables come first: with them go the sequences of their columns, which cannot go alone.
_OUR_TABLES = """
    SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
      AND relowner = current_user::regrole AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
      AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
    ORDER BY relkind IN ('r', 'p') DESC
"""


def prepared(files: Files, wanted: tuple[str, ...]) -> bool:
    """Whether there is nothing to do, told by two small files."""
    with suppress(FileNotFoundError, ValueError):
        there = set(wanted) <= set(json.loads(files.ready.read_text()))
        return there and (WAREHOUSE not in wanted or bool(_kept(files)))
    return False


def logins(files: Files, wanted: tuple[str, ...]) -> dict[str, SecretStr]:
    """The passwords of the databases that have a login of their own."""
    return {WAREHOUSE: SecretStr(_kept(files))} if WAREHOUSE in wanted else {}


def _kept(files: Files) -> str:
    files.warehouse_password.chmod(0o600)
    return files.warehouse_password.read_text().strip()


def prepare(files: Files, address: ServerAddress, wanted: tuple[str, ...]) -> None:
    """Make the databases that are missing, close them to others, and give the warehouse its own login.

    With the mutex held; repeating it changes nothing but a password that differs from the one kept. Clusters from
    before there was that login are handed over to it. Errors: TemporaryError and those of `cluster.failure`
    """
    import psycopg
    from psycopg import sql

    try:
        with _session(address, "postgres") as server:
            found = {row[0] for row in server.execute("SELECT datname FROM pg_database")}
            for name in wanted:
                if name not in found:
                    server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            _close(server, {*wanted, *_OF_POSTGRES} - {WAREHOUSE})
            if WAREHOUSE in wanted:
                password = _give_login(server, files)
                if _owner(server) != WAREHOUSE:
                    _hand_over(address)
                cluster.keep_secret(files.warehouse_password, password)  # last: where it is, all is done
    except psycopg.Error as error:
        raise cluster.failure("Preparing the embedded database failed", str(error)) from error
    aside = files.ready.with_suffix(".tmp")
    aside.write_text(json.dumps(sorted(found.union(wanted))))
    aside.rename(files.ready)


@contextmanager
def _session(address: ServerAddress, database: str) -> Iterator["psycopg.Connection"]:
    import psycopg

    with psycopg.connect(
        host=address.host, port=address.port, user=address.user, password=address.password.get_secret_value(),
        dbname=database, options=_OPTIONS, autocommit=True,
    ) as connection:  # fmt: skip
        yield connection


def _close(server: "psycopg.Connection", names: set[str]) -> None:
    """Take from everybody what Postgres gives to everybody: to connect, and to make temporary tables."""
    from psycopg import sql

    opened = server.execute(
        "SELECT datname FROM pg_database WHERE datname = ANY(%s)"
        " AND has_database_privilege('public', oid, 'CONNECT, TEMPORARY')",
        [sorted(names)],
    ).fetchall()
    for (name,) in opened:
        server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))


def _give_login(server: "psycopg.Connection", files: Files) -> str:
    """Make the role, or set it right, with the password kept, or a new one where none is; the password.

    Only its scram verifier goes to the server. Of the server's connections it can't take those that we need.
    """
    from psycopg import sql

    password = ""
    with suppress(FileNotFoundError):
        password = _kept(files)
    password = password or secrets.token_urlsafe(32)
    verifier = server.pgconn.encrypt_password(password.encode(), WAREHOUSE.encode(), b"scram-sha-256").decode()
    role = sql.Identifier(WAREHOUSE)
    if server.execute("SELECT FROM pg_roles WHERE rolname = %s", [WAREHOUSE]).fetchone() is None:
        server.execute(sql.SQL("CREATE ROLE {}").format(role))
    [most] = server.execute("SELECT current_setting('max_connections')::int").fetchone() or (0,)
    server.execute(
        sql.SQL(
            "ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
            " CONNECTION LIMIT {} PASSWORD {}"
        ).format(role, sql.Literal(max(1, int(most * SHARE))), sql.Literal(verifier))
    )
    return password


def _owner(server: "psycopg.Connection") -> str:
    row = server.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", [WAREHOUSE]).fetchone()
    return str(row[0]) if row else ""


def _hand_over(address: ServerAddress) -> None:
    """Give the warehouse and the schemas, tables, views and sequences of ours in it to its login.

    One by one, as there may be more than one transaction could lock; the database comes last, so that a hand-over
    which broke off is gone on with. Members of extensions, functions and foreign tables stay ours: they may do what
    the login must not.
    """
    from psycopg import sql

    role, public = sql.Identifier(WAREHOUSE), "public"
    with _session(address, WAREHOUSE) as warehouse:
        for (schema,) in warehouse.execute(_OUR_SCHEMAS).fetchall():
            warehouse.execute(sql.SQL("ALTER SCHEMA {} OWNER TO {}").format(sql.Identifier(schema), role))
            if schema == public:  # before Postgres 15 everybody could make tables in there
                warehouse.execute(sql.SQL("REVOKE CREATE ON SCHEMA {} FROM PUBLIC").format(sql.Identifier(public)))
        for schema, table in warehouse.execute(_OUR_TABLES).fetchall():
            warehouse.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(sql.Identifier(schema, table), role))
        warehouse.execute(sql.SQL("ALTER DATABASE {0} OWNER TO {0}").format(role))
