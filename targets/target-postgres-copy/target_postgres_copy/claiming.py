"""Whose schema it is: of two who load into one, whoever comes second is told, before rows of both are mixed.

They need not know of each other: two addresses may lead to one database. The schema's comment says it.
"""

import re
from typing import Any, Final

from psycopg import Connection, sql

from target_postgres_copy import tables
from target_postgres_copy.patience import in_turn
from target_postgres_copy.refusals import claimed

_MARK: Final = "Loaded by {}."
_CLAIM: Final = re.compile(r"Loaded by ([A-Za-z0-9 _-]{1,100})\.")  # as the setting may be
_FIND: Final = """
SELECT obj_description(oid, 'pg_namespace'), pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = %s
"""


def claim(connection: Connection[Any], schema: str, name: str) -> None:
    """The schema is `name`'s from here on; DestinationError where it is another's.

    A comment that somebody wrote stays, and a schema of another role's is nobody's.
    """
    if not _is_free(connection, schema, name):
        return
    in_turn(connection, schema)
    if _is_free(connection, schema, name):
        mark = sql.Literal(_MARK.format(name))
        tables.ddl(connection, "COMMENT ON SCHEMA {} IS {}", sql.Identifier(schema), mark)


def _is_free(connection: Connection[Any], schema: str, name: str) -> bool:
    """Whether it may be claimed and is not yet."""
    said, may = connection.execute(_FIND, (schema,)).fetchone() or (None, False)
    found = _CLAIM.fullmatch(said or "")
    if found and found[1] != name:
        raise claimed(schema, found[1])
    return said is None and may
