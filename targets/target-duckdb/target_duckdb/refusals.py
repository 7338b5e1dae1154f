"""What DuckDB refused, told in words. Its own words may quote values, so only those about files are passed on."""

import errno
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb

from target_duckdb.errors import DamagedBatchError, DestinationError, LoadError, MisfitError, PermissionMissingError

_LISTED: Final = 3  # names in one sentence
_DISK_FULL: Final = re.compile(r"No space left|Disk quota|max_temp_directory_size|Could not write", re.IGNORECASE)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_READING: Final = re.compile(r"GZIP|CSV|unicode|utf-8", re.IGNORECASE)


def told(error: duckdb.Error, what: str) -> LoadError:
    """The error in words. what: whom it happened to, as the sentence's object: 'crm.Account'."""
    said = str(error)
    if _DISK_FULL.search(said):
        return _no_room(what)
    if isinstance(error, duckdb.ConversionException):
        return MisfitError(
            f"A value of {what} does not fit its column.",
            hint="Do a full refresh into a new table.",
            remedy="full_refresh",
        )
    if isinstance(error, duckdb.ConstraintException):
        return MisfitError(
            f"A row of {what} breaks a constraint that somebody gave the table.",
            hint="Drop the constraint, then sync again.",
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return DestinationError(
            f"DuckDB ran out of memory while loading {what}.",
            hint="Make batches smaller (batch_size_rows; of files the tap's own, such as bulk_page_rows), or deselect"
            " fields.",
        )
    if isinstance(error, (duckdb.IOException, duckdb.InvalidInputException)) and _READING.search(said):
        return DamagedBatchError(f"A batch file of {what} is cut off, or is not what it says it is.")
    return DestinationError(
        f"DuckDB refused to load {what} ({type(error).__name__}).",
        hint="Look at the table with DuckDB: somebody may have changed it.",
    )


def not_opened(error: duckdb.Error, path: Path) -> LoadError:
    """Why the database's file could not be opened."""
    said = str(error)
    if is_held(error):
        found = re.search(r"PID (\d+)", said)
        who = f"Another process ({found[1]})" if found else "Another process"
        return DestinationError(
            f"{who} has {path} open, and DuckDB lets only one write.",
            hint="Close it, or wait until it is done, then sync again.",
            retryable=True,
        )
    if "Permission denied" in said or "Read-only file system" in said:
        return PermissionMissingError(f"{path} may not be written.", hint="Give the user of this service the right to.")
    if "not a valid DuckDB database" in said or "version" in said.lower():
        return DestinationError(
            f"{path} is no database that this version of DuckDB can open.",
            hint="Move it away, or choose another file for the destination.",
        )
    return DestinationError(f"{path} cannot be opened by DuckDB.", hint="Look whether the disk and the file are whole.")


def gone(what: str) -> LoadError:
    """A table that went with all its rows, of a stream of which only what changed since comes."""
    return DestinationError(
        f"The table {what} is gone, with all rows of earlier syncs; this one brings only what changed since.",
        hint="If it, or the file, was renamed or moved, undo that and sync again; otherwise read everything again by a"
        " full refresh.",
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


def is_held(error: duckdb.Error) -> bool:
    """Whether somebody else has the file open."""
    return "Could not set lock" in str(error)


def not_made(error: OSError, folder: Path) -> LoadError:
    """A folder that cannot be made, or written to."""
    if error.errno in _FULL:
        return _no_room(str(folder))
    return PermissionMissingError(
        f"The folder {folder} cannot be written ({error.strerror}).", hint="Make it, or choose another."
    )


def not_written(error: OSError, what: str) -> LoadError:
    """A file whose rows did not reach the disk."""
    if error.errno in _FULL:
        return _no_room(what)
    return DestinationError(
        f"A file of {what} did not reach the disk ({error.strerror}).",
        hint="Mend the disk, then sync again: what is committed stays.",
        retryable=True,
    )


def _no_room(what: str) -> DestinationError:
    return DestinationError(
        f"There is no room on the disk to load {what}.",
        hint="Make room, then sync again: what is committed stays.",
        retryable=True,
    )
