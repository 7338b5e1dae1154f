"""The newest syncs that succeeded."""

import json
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from orchestrator.domains.runs.types import Success
from orchestrator.kernel import ids

_NEWEST = text("""
    SELECT one.place, run.started_at, run.finished_at
    FROM unnest(CAST(:integrations AS uuid[]), CAST(:streams AS jsonb[])) WITH ORDINALITY
        AS one (integration_id, streams, place)
    CROSS JOIN LATERAL (
        SELECT started_at, finished_at FROM orchestrator.runs
        WHERE integration_id = one.integration_id AND kind = 'sync' AND status = 'succeeded'
          AND (streams IS NULL OR (one.streams IS NOT NULL
               AND streams @> ARRAY(SELECT jsonb_array_elements_text(one.streams))))
        ORDER BY id DESC LIMIT 1) run
""")


def newest_successes(tx: Session, wanted: Sequence[tuple[str, Sequence[str] | None]]) -> list[Success | None]:
    """The newest success of each (integration, streams) that read at least these; None streams: all selected ones."""
    values = {
        "integrations": [ids.decode("int", integration_id) for integration_id, _ in wanted],
        "streams": [None if streams is None else json.dumps(list(streams)) for _, streams in wanted],
    }
    found = {row.place: Success(began=row.started_at, ended=row.finished_at) for row in tx.execute(_NEWEST, values)}
    return [found.get(place) for place in range(1, len(wanted) + 1)]
