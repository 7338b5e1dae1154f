"""What a source's plugin and a destination's agree on: Singer has no way for them to ask each other.

A plugin's encodings stand in its connector file. No community loader lists jsonl+gzip, though the SDK reads it: files
that nobody removes would fill memory-backed storage; their rows skip validation and get no `_sdc_…` values; and a BATCH
is loaded at once, before RECORD messages that came earlier and wait, so that an older row could win. They get RECORD.
source: singer_sdk.target_base.Target._process_batch_message, singer_sdk.sinks.core.Sink.process_batch_files
"""

import json
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from orchestrator.domains.catalog.types import Variant

_LONGEST: Final = 100_000  # bytes; source: Linux, MAX_ARG_STRLEN is 131,072


def encoding(source: Variant, destination: Variant) -> str | None:
    """The first of the source's encodings that the destination reads; None: RECORD messages."""
    return next((one for one in source.batch if one in destination.batch), None)


def agreed_settings(source: Variant, destination: Variant, *, folder: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the source's plugin and of the destination's that hold for this pair of them.

    folder:  where batch files are handed over, as a file:// URL or something that stands for it. A loader that reads
             them is always told: a tap can name files without being asked for any, and no others may be read
    source: singer_sdk.helpers._batch.BatchConfig; README of taps/tap-salesforce (hard_deletes)
    """
    chosen = encoding(source, destination)
    given = {} if chosen is None else {"batch_config": _batch_config(chosen, folder)}
    expected = chosen or next(iter(destination.batch), None)
    taken = {} if expected is None else {"batch_config": _batch_config(expected, folder)}
    return {**given, **deletion_settings(source, destination)}, taken


def deletion_settings(source: Variant, destination: Variant) -> dict[str, Any]:
    """Of the source's settings those that a discovery needs too: streams then have a column for the deletion."""
    return {"hard_deletes": True} if source.tombstones and destination.tombstones else {}


def continued_settings(destination: Variant, streams: Sequence[str], *, notes: Any) -> dict[str, Any]:
    """Of the destination's settings those that keep it from making anew what earlier values are gone with.

    notes:  where it keeps from run to run what it has loaded, or something that stands for that
    So many streams that their names fit no environment variable are cut short: those left out are not looked after.
    source: README of targets/target-postgres-copy (continued_streams, notes_file)
    """
    if not destination.continues:
        return {}
    ends = accumulate(len(json.dumps(name)) + 2 for name in streams)
    named = [name for name, end in zip(streams, ends, strict=True) if end < _LONGEST]
    return {"notes_file": notes, **({"continued_streams": named} if named else {})}


def claim_settings(destination: Variant, integration_id: str) -> dict[str, Any]:
    """Of the destination's settings the one that keeps others out of the integration's schema, wherever they come from.

    source: README of targets/target-postgres-copy (claimed_by)
    """
    return {"claimed_by": f"Orchestrator integration {integration_id}"} if destination.claims else {}


def _batch_config(encoding_: str, folder: Any) -> dict[str, Any]:
    kind, _, compression = encoding_.partition("+")
    return {
        "encoding": {"format": kind, "compression": compression or "none"},
        "storage": {"root": folder},
    }
