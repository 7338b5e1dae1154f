"""What becomes of a stream when it is complete, and how to tell that it is.

Singer has no message for the end of a stream, and a tap that died looks like one that is done. Signs of
completeness: ACTIVATE_VERSION after rows; a STATE after the last row; or a tap that has no STATE at all.
"""

import logging
from typing import Final

from target_postgres_copy import finishing
from target_postgres_copy.engine import Engine
from target_postgres_copy.layout import VERSION
from target_postgres_copy.sink import CopySink

log: Final = logging.getLogger("target-postgres-copy")


def version_said(engine: Engine, sink: CopySink, version: int) -> None:
    """ACTIVATE_VERSION came: the end of the stream, or, before its first row, the beginning."""
    engine.flush(sink)
    progress = sink.progress
    progress.version = progress.owed = version
    if progress.rows:
        _complete(engine, sink)


def input_ended(engine: Engine, sink: CopySink) -> None:
    """No more lines: the table exists, and if the stream is complete, what is not in it any more is gone."""
    progress, place = sink.progress, sink.progress.place
    built_aside = place.table != sink.layout.table
    if not built_aside and place.exists:
        engine.add_key(progress)
    elif not built_aside:
        engine.call(sink.layout, lambda c: finishing.make_empty(c, place, keyed=sink.keyed))
    if progress.owed is None and not built_aside:
        return
    if engine.states > progress.stamp or not engine.states:
        _complete(engine, sink)
        return
    log.warning("%s did not come to its end: what was there before stays.", sink.stream_name)
    if built_aside:
        engine.call(sink.layout, lambda c: finishing.forget(c, place))


def _complete(engine: Engine, sink: CopySink) -> None:
    progress, layout = sink.progress, sink.layout
    place, version = progress.place, progress.owed
    progress.owed, progress.rows = None, False
    engine.add_key(progress)
    if place.table != layout.table:
        engine.call(layout, lambda c: finishing.swap(c, place, keyed=sink.keyed))
        if progress.hold is not None:
            engine.committed(progress.hold)
    elif version is not None and _can_activate(sink):
        hard = engine.settings.hard_delete
        gone = engine.call(layout, lambda c: finishing.activate(c, layout, version, hard=hard))
        log.info("%s: %d rows are no longer at the source.", layout.label, gone)


def _can_activate(sink: CopySink) -> bool:
    if sink.layout.column(VERSION) is None:
        log.warning("%s: versions need add_record_metadata; no rows are deleted.", sink.stream_name)
        return False
    if sink.progress.unversioned:
        log.warning("%s: rows came without a version; no rows are deleted.", sink.stream_name)
        return False
    return True
