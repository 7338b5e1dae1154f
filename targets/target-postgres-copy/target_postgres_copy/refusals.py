"""What Postgres refused, told in words: from SQLSTATE to a LoadError.

source: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import psycopg

from target_postgres_copy.errors import (
    ConfigError,
    DamagedBatchError,
    DestinationError,
    LoadError,
    MisfitError,
    PermissionMissingError,
)

_COLUMN: Final = re.compile(r"\bcolumn (.+?)(?:: |$)", re.MULTILINE)
_FUNCTION: Final = re.compile(r"\bfunction (.+?\))")
_LISTED: Final = 3  # names in one sentence
_GONE: Final = ("08", "57P")
_AGAIN: Final = "What is committed stays; the next sync goes on from there."


def told(error: psycopg.Error, what: str) -> LoadError:
    """The error in words. what: whom it happened to, as the sentence's subject: 'crm."Account"'."""
    state = error.sqlstate or ""
    for prefix in (state, state[:2]):
        maker = _MAKERS.get(prefix)
        if maker is not None:
            return maker(error, what)
    if not state or state.startswith(_GONE):
        return _gone(error, what)
    return DestinationError(
        f"Postgres refused to load {what}: {_first_line(error)} ({state}).",
        hint="See what Postgres says about that code, then sync again.",
    )


def not_reached(error: psycopg.Error, *, user: str, address: str) -> LoadError:
    """Why no connection could be made. The server's words are in its language, so they are shown where unknown."""
    said = _first_line(error)
    state = error.sqlstate or ""
    if state in {"28P01", "28000"} or "authentication failed" in said or "no password supplied" in said:
        return ConfigError(
            f"The warehouse at {address} refused the sign-in of {user or 'the user'}.",
            hint="Check user and password of the destination.",
        )
    if "is not permitted to log in" in said:
        return ConfigError(
            f"The warehouse at {address} does not let {user or 'the user'} log in.",
            hint="Let it: ALTER ROLE … LOGIN; or name another user in the destination.",
        )
    if state == "53100" or "could not write" in said or "No space left" in said:
        return DestinationError(
            f"The disk of the warehouse at {address} is full: {said}.",
            hint="Free space there or enlarge it, then sync again.",
            retryable=True,
        )
    if state.startswith("53") or "too many c" in said or "connection slots" in said:
        return DestinationError(
            f"The warehouse at {address} has no connection left for {user or 'the user'}.",
            hint="Raise max_connections or the role's CONNECTION LIMIT, or let fewer syncs run at once.",
            retryable=True,
        )
    if state == "3D000" or re.search(r'database ".*" does not exist', said):
        return ConfigError(
            f"The warehouse at {address} has no such database.", hint="Check the destination's database name."
        )
    return DestinationError(
        f"The warehouse at {address} cannot be reached: {said}.",
        hint="Check that it runs and that its host and port are right, then sync again.",
        retryable=True,
    )


def _first_line(error: psycopg.Error) -> str:
    primary = error.diag.message_primary or str(error).strip().split("\n")[0]
    return primary.rstrip(".")


def _column(error: psycopg.Error) -> str:
    """The column, where Postgres names it; its message may quote the value, so that is not repeated."""
    named = error.diag.column_name
    if named:
        return f' column "{named}"'
    found = _COLUMN.search(error.diag.context or "")
    return f' column "{found[1]}"' if found else ""


def _gone(error: psycopg.Error, what: str) -> LoadError:
    return DestinationError(
        f"The warehouse went away while loading {what}: {_first_line(error)}.", hint=_AGAIN, retryable=True
    )


def _forbidden(error: psycopg.Error, what: str) -> LoadError:
    if "row-level security" in _first_line(error):
        return PermissionMissingError(
            f"Row-level security of {what} keeps the warehouse user from writing its rows.",
            hint="Give it a policy for all rows (CREATE POLICY …) or BYPASSRLS, or disable it there; then sync again.",
        )
    return PermissionMissingError(
        f"The warehouse user may not do what loading {what} needs: {_first_line(error)}.",
        hint="Grant it CREATE on the schema, or on the database where the schema is missing; TEMPORARY on the database;"
        " and ownership of the tables it loads, with all rights on them.",
    )


def misfit(column: str, what: str, state: str | None) -> LoadError:
    """A value that its column cannot hold. column: with a space before it, or empty if it is not known."""
    return MisfitError(
        f"A value does not fit{column and f'{column} of'} {what} ({state}).",
        hint="Run discovery again; if the column was changed by hand, give it back its type or make it text.",
    )


def _misfit(error: psycopg.Error, what: str) -> LoadError:
    return misfit(_column(error), what, error.sqlstate)


def _no_such_letter(error: psycopg.Error, what: str) -> LoadError:
    column = _column(error)
    return MisfitError(
        f"A text for{column and f'{column} of'} {what} has a character that the encoding of the warehouse lacks.",
        hint="Load into a database whose encoding is UTF8.",
    )


def _damaged(error: psycopg.Error, what: str) -> LoadError:
    return DamagedBatchError(f"A batch file of {what} is damaged: {_first_line(error)}.")


def _disk(error: psycopg.Error, what: str) -> LoadError:
    return DestinationError(
        f"The warehouse's disk is full: {what} could not be loaded ({_first_line(error)}).",
        hint="Free space in the warehouse or enlarge it, then sync again. " + _AGAIN,
    )


def _busy(error: psycopg.Error, what: str) -> LoadError:
    return DestinationError(
        f"The warehouse has no room for {what} right now: {_first_line(error)}.",
        hint="Sync again in a while, or lower max_connections.",
        retryable=True,
    )


def _not_null(error: psycopg.Error, what: str) -> LoadError:
    return MisfitError(
        f"A row of {what} has nothing for{_column(error)}, which must not be null.",
        hint="If the constraint was added by hand, drop it; a key column must have a value in every record.",
    )


def _constraint(error: psycopg.Error, what: str) -> LoadError:
    name = error.diag.constraint_name
    if (name or "").startswith("pg_"):  # of Postgres's own catalog: both made the same table or type
        return _conflict(error, what)
    hint = "It was added by hand, or the table holds one key twice: drop it or remove those rows, then sync again."
    if error.sqlstate == "23505":
        hint += " Drop it too where a key may come again: with append-only, or once the stream has no key any more."
    return DestinationError(f"Rows for {what} violate its constraint {name or ''}".rstrip() + ".", hint=hint)


def gone(what: str) -> LoadError:
    """A table that went with all its rows, of a stream of which only what changed since comes."""
    return DestinationError(
        f"The table {what} is gone, with all rows of earlier syncs; this one brings only what changed since.",
        hint="If it was renamed or moved, undo that and sync again; otherwise read everything again by a full refresh.",
        remedy="full_refresh",
    )


def columns_gone(names: Sequence[str], what: str) -> LoadError:
    """Columns that went with the values of all rows, of a stream of which only what changed since comes."""
    listed = ", ".join(f'"{name}"' for name in names[:_LISTED])
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    were, them = ("columns", "them") if len(names) > 1 else ("column", "it")
    return DestinationError(
        f"{what} has lost the {were} {listed}{more}, with the values of earlier syncs; this one brings only what"
        " changed since.",
        hint=f"If somebody renamed {them}, undo that and sync again; otherwise read everything again by a full refresh,"
        f" or deselect {them}. To leave {them} empty in earlier rows, add {them} by hand.",
        remedy="full_refresh",
    )


def claimed(schema: str, other: str) -> LoadError:
    """A schema that is loaded by another, so that rows of both would be mixed."""
    quoted = schema.replace('"', '""')
    return DestinationError(
        f"The schema {schema} is loaded by {other} already.",
        hint="Load into another schema. Where this load is to take the place of that one:"
        f' COMMENT ON SCHEMA "{quoted}" IS NULL, then sync again.',
    )


def kept_out(missing: int, rows: int, what: str) -> LoadError:
    """Rows that Postgres took and did not store; nothing of their batch stays."""
    return DestinationError(
        f"{missing:,} of {rows:,} rows for {what} were kept out by a trigger or rule.",
        hint="It was added by hand: drop it, or let it store every row, then sync again. " + _AGAIN,
    )


def _raised(error: psycopg.Error, what: str) -> LoadError:
    """What the function itself says may quote the record, so that is not repeated."""
    found = _FUNCTION.search(error.diag.context or "")
    function = f": function {found[1]} raised an error" if found else ""
    return DestinationError(
        f"A trigger on {what} refused its rows{function} ({error.sqlstate}).",
        hint="It was added by hand: drop it or correct its function, then sync again. " + _AGAIN,
    )


def _altered(error: psycopg.Error, what: str) -> LoadError:
    return DestinationError(
        f"The table {what} is not as it was when the sync began: {_first_line(error)}.",
        hint="Sync again; if that does not help, undo the change that was made by hand.",
    )


def _in_use(error: psycopg.Error, what: str) -> LoadError:
    why = error.diag.message_detail or _first_line(error)
    return DestinationError(
        f"The table {what} must change, but something depends on it: {why.rstrip('.')}.",
        hint="Drop the view or rule, sync, then create it again.",
    )


def key_too_long(columns: Iterable[str], what: str) -> LoadError:
    """A row whose key no index can hold."""
    return MisfitError(
        f"A row of {what} has a key that is too long for Postgres: {', '.join(columns)} may take some 2,700 bytes.",
        hint="Choose a shorter key at the source or by a stream map, or load with append-only, which needs none; if the"
        " row is in the table already, remove it there. Then sync again.",
    )


def _too_much(error: psycopg.Error, what: str) -> LoadError:
    if index := error.diag.constraint_name:
        return MisfitError(
            f"A row of {what} has a value that is too long for its index {index}, which takes some 2,700 bytes.",
            hint="Drop that index or let it hold a part or a hash of the column, then sync again.",
        )
    return MisfitError(
        f"{what} is more than Postgres can hold: {_first_line(error)}.",
        hint="Deselect fields you do not need, then sync again.",
    )


def _conflict(error: psycopg.Error, what: str) -> LoadError:
    return DestinationError(
        f"Somebody else was changing {what} at the same time: {_first_line(error)}.",
        hint="Sync again; let no two integrations load the same schema at once.",
        retryable=True,
    )


def _read_only(error: psycopg.Error, what: str) -> LoadError:
    return DestinationError(
        f"The warehouse is read-only: {what} could not be loaded ({_first_line(error)}).",
        hint="Use the address of the primary server, not of a replica. Where default_transaction_read_only is set, as"
        " some providers do while the disk is nearly full, free space or reset it.",
    )


_MAKERS: Final = {
    "22": _misfit,
    "22P04": _damaged,
    "22P05": _no_such_letter,
    "23502": _not_null,
    "23": _constraint,
    "25006": _read_only,
    "28": _forbidden,
    "2BP01": _in_use,
    "0A000": _in_use,
    "40": _conflict,
    "42501": _forbidden,
    "42P06": _conflict,
    "42P07": _conflict,
    "42": _altered,
    "53100": _disk,
    "53": _busy,
    "54": _too_much,
    "55006": _conflict,
    "P0": _raised,
    "55P03": _conflict,
    "57014": _conflict,
}
