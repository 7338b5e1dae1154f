"""The log of deletions behind getDeleted: what it tells, how far back, and when it refuses.

source: REST API developer guide, "sObject Get Deleted"; SOAP API guide, "getDeleted()". How far the log reaches back
is 15 days in some places of the documentation and 30 in others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .errors import ApiError
from .schema import SObject
from .soql_sql import read_datetime, stamp

if TYPE_CHECKING:
    from .store import Store


@dataclass(slots=True, kw_only=True)
class LogOfDeletions:
    """How the log behaves.

    reach:   how far back it knows
    refuses: a question from before is refused; else the answer is silently short
    most:    ids in one answer
    lag:     how long a deletion takes to get into it
    """

    reach: timedelta = timedelta(days=30)
    refuses: bool = True
    most: int = 600_000
    lag: timedelta = timedelta()


def answer(store: "Store", sobject: SObject, query: Mapping[str, str]) -> dict[str, Any]:
    """What was deleted from `start` to `end`; their seconds are ignored."""
    if not (sobject.queryable and sobject.replicateable):
        raise ApiError(400, "INVALID_TYPE_FOR_OPERATION", f"entity type {sobject.name} does not support getDeleted")
    log, now = store.log_of_deletions, store.clock.now()
    earliest = stamp(now - log.reach)
    try:
        start, end = (_minute(read_datetime(query.get(name, "").replace(" ", "+"))) for name in ("start", "end"))
    except ValueError as error:
        raise ApiError(400, "INVALID_VALUE", f"start and end must be ISO 8601 date-times: {error}") from error
    if start >= end:
        raise _wrong_date("startDate must be at least one minute before endDate")
    if start < _minute(earliest) and log.refuses:
        raise _wrong_date(f"startDate before org's earliest available date {earliest}")
    seen = now - log.lag
    found = store.deleted_log(sobject.name, max(start, earliest), min(end, stamp(seen + timedelta(seconds=1))))
    if len(found) > log.most:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", f"more than {log.most} ids: choose dates that are closer together")
    records = [{"deletedDate": at, "id": gone} for gone, at in found]
    covered = min(end, stamp(seen))
    return {"deletedRecords": records, "earliestDateAvailable": earliest, "latestDateCovered": covered}


def _minute(text: str) -> str:
    return f"{text[:17]}00.000+0000"


def _wrong_date(message: str) -> ApiError:
    return ApiError(400, "INVALID_REPLICATION_DATE", message)
