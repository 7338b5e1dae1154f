"""What earlier runs moved, to estimate the next by."""

from collections.abc import Sequence

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from orchestrator.domains.runs.types import Sample
from orchestrator.kernel import ids

# A run went on from somewhere if the stream's newest state before it was not empty.
_SAMPLES = text("""
    SELECT moved.stream, moved.records_read, moved.seconds, moved.api_calls,
        run.full_refresh OR NOT COALESCE((
            SELECT state.bookmark IS NOT NULL FROM orchestrator.stream_states state
            WHERE state.org_id = run.org_id AND state.integration_id = run.integration_id
                AND state.stream = moved.stream AND state.at < run.started_at
            ORDER BY state.id DESC LIMIT 1), false) AS whole
    FROM (
        SELECT * FROM orchestrator.runs
        WHERE integration_id = :integration AND kind = 'sync' AND status = 'succeeded'
        ORDER BY id DESC LIMIT :runs
    ) run
    JOIN orchestrator.run_streams moved ON moved.org_id = run.org_id AND moved.run_id = run.id
    WHERE moved.stream IN :streams
    ORDER BY run.id DESC
""").bindparams(bindparam("streams", expanding=True))


def samples(tx: Session, integration_id: str, streams: Sequence[str], *, runs: int) -> list[Sample]:
    """What the newest `runs` successful runs moved of these streams, the newest first."""
    values = {"integration": ids.decode("int", integration_id), "streams": list(streams), "runs": runs}
    return [
        Sample(stream=row.stream, read=row.records_read, seconds=row.seconds, whole=row.whole, api_calls=row.api_calls)
        for row in tx.execute(_SAMPLES, values)
    ]
