"""The history of every stream's state."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, ColumnElement, Text, bindparam, func, literal, literal_column, select, true, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session, aliased

from orchestrator.domains.runs.errors import LeaseLostError
from orchestrator.domains.runs.queries.runs import HELD
from orchestrator.domains.runs.tables import RunRow, RunStreamRow, StreamStateRow
from orchestrator.domains.runs.types import (
    Attempt,
    RunKind,
    RunStatus,
    StateEntry,
)

# Of a stream that a tap has read only for those below it, the state holds no more than where it began.
_PLACE: Final = literal_column("'$.*.replication_key_value'::jsonpath", Text)


def read_since(tx: Session, integration_id: str, stream: str, entry_id: int) -> int:
    """How many records of a stream the runs read that wrote state after this entry."""
    later = select(StreamStateRow.run_id).where(
        StreamStateRow.integration_id == integration_id,
        StreamStateRow.stream == stream,
        StreamStateRow.id > entry_id,
        StreamStateRow.run_id.is_not(None),
    )
    total = select(func.coalesce(func.sum(RunStreamRow.records_read), 0)).where(
        RunStreamRow.run_id.in_(later), RunStreamRow.stream == stream
    )
    return int(tx.scalar(total) or 0)


def _state(row: StreamStateRow) -> StateEntry:
    return StateEntry(
        id=row.id, stream=row.stream, bookmark=row.bookmark, reason=row.reason, run_id=row.run_id, at=row.at
    )


def current_state(tx: Session, integration_id: str) -> dict[str, StateEntry]:
    """The latest entry of each stream."""
    return _latest(tx, StreamStateRow.integration_id == integration_id)


def written_before(tx: Session, integration_id: str, streams: Sequence[str]) -> tuple[str, ...]:
    """Those of the streams whose records runs of this integration have loaded into its own schema, sorted.

    Goes by what runs counted. Where that is forgotten (`runs.keep`), a stream of which a sync that went well reached a
    place is taken for one: it has a table, and nobody knows any more that it is empty.
    """
    name = func.unnest(bindparam("streams", list(streams), ARRAY(Text))).column_valued("name")
    wrote = (
        select(RunStreamRow.run_id)
        .join(RunRow, (RunRow.org_id == RunStreamRow.org_id) & (RunRow.id == RunStreamRow.run_id))
        .where(
            RunRow.integration_id == integration_id,
            RunRow.kind.in_([RunKind.SYNC, RunKind.BACKFILL]),
            RunStreamRow.stream == name,
            RunStreamRow.records_written > 0,
        )
    )
    reached = (
        select(StreamStateRow.id)
        .join(RunRow, (RunRow.org_id == StreamStateRow.org_id) & (RunRow.id == StreamStateRow.run_id))
        .where(
            StreamStateRow.integration_id == integration_id,
            StreamStateRow.stream == name,
            func.jsonb_path_exists(StreamStateRow.bookmark, _PLACE),
            RunRow.status == RunStatus.SUCCEEDED,
            RunRow.pruned_at.is_not(None),
        )
    )
    return tuple(tx.scalars(select(name).where(wrote.exists() | reached.exists()).order_by(name)))


def state_history(tx: Session, integration_id: str, *, stream: str | None = None, limit: int = 50) -> list[StateEntry]:
    """Entries, the newest first."""
    wanted = select(StreamStateRow).where(StreamStateRow.integration_id == integration_id)
    if stream is not None:
        wanted = wanted.where(StreamStateRow.stream == stream)
    return [_state(row) for row in tx.scalars(wanted.order_by(StreamStateRow.id.desc()).limit(limit))]


def state_as_of(tx: Session, integration_id: str, entry_id: int) -> dict[str, StateEntry]:
    """What the latest entry of each stream was when this one was written."""
    return _latest(tx, StreamStateRow.integration_id == integration_id, StreamStateRow.id <= entry_id)


def _latest(tx: Session, *among: ColumnElement[bool]) -> dict[str, StateEntry]:
    """Of these entries the last of each stream, found by going from stream to stream: there may be years of others."""
    streams = select(func.min(StreamStateRow.stream).label("name")).where(*among).cte("streams", recursive=True)
    following = select(func.min(StreamStateRow.stream)).where(*among, StreamStateRow.stream > streams.c.name)
    more = following.correlate(streams).scalar_subquery()
    streams = streams.union_all(select(more).where(streams.c.name.is_not(None)))
    newest = select(StreamStateRow).where(*among, StreamStateRow.stream == streams.c.name)
    last = aliased(StreamStateRow, newest.order_by(StreamStateRow.id.desc()).limit(1).lateral())
    rows = tx.scalars(select(last).select_from(streams).join(last, true()).order_by(last.stream))
    return {row.stream: _state(row) for row in rows}


def append_state(tx: Session, attempt: Attempt, bookmarks: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Commit bookmarks of a running sync, if it still holds its run, which nobody takes over meanwhile.

    None starts a stream over.

    Raises LeaseLostError.
    """
    for stream, bookmark in bookmarks.items():
        held = select(
            RunRow.org_id,
            RunRow.integration_id,
            literal(stream, Text),
            bindparam("bookmark", bookmark and dict(bookmark), JSONB(none_as_null=True)),
            literal("run", Text),
            RunRow.id,
            RunRow.epoch,
        ).where(RunRow.id == attempt.run_id, RunRow.epoch == attempt.epoch, RunRow.status.in_([s.value for s in HELD]))
        columns = ["org_id", "integration_id", "stream", "bookmark", "reason", "run_id", "epoch"]
        added = (
            insert(StreamStateRow).from_select(columns, held.with_for_update(read=True)).returning(StreamStateRow.id)
        )
        if tx.scalar(added) is None:
            raise LeaseLostError(attempt.run_id)


def backfill_state(tx: Session, run_id: str) -> Mapping[str, Mapping[str, Any]]:
    """How far a backfill is, as bookmarks by stream; empty where it has not begun, or is complete."""
    return tx.scalar(select(RunRow.backfill_state).where(RunRow.id == run_id)) or {}


def append_backfill_state(tx: Session, attempt: Attempt, bookmarks: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Commit bookmarks of a running backfill, if it still holds its run. Raises LeaseLostError."""
    held = (RunRow.id == attempt.run_id, RunRow.epoch == attempt.epoch, RunRow.status.in_([s.value for s in HELD]))
    grown = func.coalesce(RunRow.backfill_state, literal({}, JSONB)).op("||")(literal(dict(bookmarks), JSONB))
    if tx.scalar(update(RunRow).where(*held).values(backfill_state=grown).returning(RunRow.id)) is None:
        raise LeaseLostError(attempt.run_id)


def set_state(
    tx: Session, org_id: str, integration_id: str, bookmarks: Mapping[str, Mapping[str, Any] | None], *, reason: str
) -> None:
    """Append bookmarks a person chose; None starts a stream over."""
    rows = [
        {
            "org_id": org_id,
            "integration_id": integration_id,
            "stream": stream,
            "bookmark": None if bookmark is None else dict(bookmark),
            "reason": reason,
        }
        for stream, bookmark in bookmarks.items()
    ]
    if rows:
        tx.execute(insert(StreamStateRow), rows)
