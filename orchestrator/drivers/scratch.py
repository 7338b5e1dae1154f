"""A schema to try something out in: marked when it is made, so that nothing but what we made is ever dropped."""

from typing import LiteralString

import psycopg
from psycopg import sql

from orchestrator.kernel.errors import ConflictError

_PATIENCE: LiteralString = "SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '60s'"


class SchemaTakenError(ConflictError):
    """The warehouse has a schema of this name that isn't ours."""

    code = "schema_taken"

    def __init__(self, schema: str) -> None:
        super().__init__(
            f"The destination has a schema {schema} that no dry run made, so it is left alone.",
            hint="Rename it there, then try again.",
        )


class ScratchRefusedError(ConflictError):
    """The server refused to make or drop the schema, in its own words."""

    code = "scratch_refused"

    def __init__(self, schema: str, why: str) -> None:
        super().__init__(
            f"The scratch schema {schema} could not be made or dropped: {why}.",
            hint="Let the destination's user create schemas, and see that nobody works in that one.",
        )


def make(connection: psycopg.Connection, schema: str, *, mark: str) -> None:
    """Make the schema, empty, with the mark as its comment; what an earlier call made is dropped.

    Raises SchemaTakenError where somebody else's is there, ScratchRefusedError.
    """
    name = sql.Identifier(schema)
    try:
        with connection.transaction():
            _drop(connection, schema, mark)
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
            connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(name, sql.Literal(mark)))
    except psycopg.Error as error:
        raise ScratchRefusedError(schema, _words(error)) from None


def drop(connection: psycopg.Connection, schema: str, *, mark: str) -> None:
    """Drop the schema with all that is in it; harmless where it is gone.

    Raises SchemaTakenError where it has another mark or none, ScratchRefusedError.
    """
    try:
        with connection.transaction():
            _drop(connection, schema, mark)
    except psycopg.Error as error:
        raise ScratchRefusedError(schema, _words(error)) from None


def _drop(connection: psycopg.Connection, schema: str, mark: str) -> None:
    connection.execute(_PATIENCE)
    found = connection.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", (schema,)
    ).fetchone()
    if found is None:
        return
    if found[0] != mark:
        raise SchemaTakenError(schema)
    connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def _words(error: psycopg.Error) -> str:
    lines = str(error.diag.message_primary or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
