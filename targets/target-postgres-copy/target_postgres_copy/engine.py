"""The engine room: tables made ready, batches sent off, STATE said when it is true. What all sinks share."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
import simplejson  # type: ignore[import-untyped]  # its stubs are a package of their own
from psycopg import Connection

from target_postgres_copy import batchfiles, finishing
from target_postgres_copy.errors import ConfigError, DamagedBatchError
from target_postgres_copy.layout import DELETED_AT, Layout
from target_postgres_copy.ledger import Ledger
from target_postgres_copy.loading import Batch, Loaded, Source
from target_postgres_copy.names import aside
from target_postgres_copy.notes import Notes
from target_postgres_copy.pool import Pool
from target_postgres_copy.progress import Progress
from target_postgres_copy.refusals import not_reached
from target_postgres_copy.settings import LoadMethod, Settings
from target_postgres_copy.stage import Place

if TYPE_CHECKING:
    from target_postgres_copy.sink import CopySink

log: Final = logging.getLogger("target-postgres-copy")
_T = TypeVar("_T")
_BATCH_BYTES: Final = 8 << 20
_ALL_BATCHES: Final = 32 << 20
_QUIET: Final = 60.0  # seconds without a batch after which a table on its first load gets its key
_LONG: Final = 3600.0  # and the longest that it waits for it
OLDEST: Final = 5.0  # seconds that records wait before they are on their way


class Engine:
    """Loads for one run of the target.

    states:      how many STATE messages came
    batch_bytes: CSV of RECORD messages per batch, at most
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.notes = Notes(settings.notes)
        self.batch_bytes = min(_BATCH_BYTES, _ALL_BATCHES // (settings.connections + 1))
        self.states = 0
        self.oldest = OLDEST
        self._sinks: dict[int, CopySink] = {}  # with records that wait
        self._ledger = Ledger()
        self._lock = threading.Lock()
        self._pool = Pool(self._connect, settings.connections)
        self._tables: dict[tuple[str, str], Progress] = {}
        self._files: dict[str, None] = {}

    @property
    def wake(self) -> int:
        """A file descriptor that becomes readable when a load has ended."""
        return self._pool.wake

    # ---- tables

    def prepare(self, sink: "CopySink") -> Progress:
        """The table of a sink, ready for its columns. Waits for its batches that are under way."""
        layout = sink.layout
        key = (layout.schema, layout.table)
        progress = self._tables.get(key)
        overwrites = self.settings.method is LoadMethod.OVERWRITE
        anew = progress is None and overwrites
        if progress is None:
            place = Place(layout=layout, table=aside(layout.table) if anew else layout.table)
            progress = self._tables[key] = Progress(place=place, stream=sink.stream_name)
        elif progress.stream != sink.stream_name:
            raise ConfigError(
                f"The streams {progress.stream} and {sink.stream_name} would both be loaded into {layout.label}.",
                hint="Give one of them another name by a stream map (__alias__), or deselect it.",
            )
        else:
            self.add_key(progress)
            progress.place = replace(progress.place, layout=layout)
        place = progress.place
        progress.stamp = self.states
        earlier = None
        if not overwrites and sink.stream_name in self.settings.continued:
            earlier = self.notes.loaded_with(sink.stream_name)
        how: dict[str, Any] = {"keyed": sink.keyed, "anew": anew, "earlier": earlier, "claim": self.settings.claim}
        self.call(layout, lambda c: finishing.prepare(c, place, **how))
        self.notes.add(sink.stream_name, (column.name for column in layout.columns))
        return progress

    def call(self, layout: Layout, work: Callable[[Connection[Any]], _T]) -> _T:
        """Have something done with a table after all that is under way for it; its result."""
        return self._pool.call((layout.schema, layout.table), layout.label, work)

    # ---- batches

    def opened(self, progress: Progress, sink: "CopySink | None" = None) -> int:
        """The number of a new load; `sink`, if its records wait first.

        A table built aside holds back every STATE until it is in its place.
        """
        with self._lock:
            if self.settings.method is LoadMethod.OVERWRITE and progress.hold is None:
                progress.hold = self._ledger.open()
            if sink is not None:
                self._sinks[id(sink)] = sink
            return self._ledger.open()

    def flush(self, sink: "CopySink") -> None:
        """Have the records that wait loaded."""
        if sink.open is None:
            return
        waiting, sink.open = sink.open, None
        del self._sinks[id(sink)]
        if sink.pending:
            waiting.buffer.add(sink.pending)
            waiting.bytes += sink.bytes
            sink.pending, sink.bytes = [], 0
        self.load(sink, waiting.buffer, waiting.number, sink.common(waiting.version), size=waiting.bytes)

    def flush_all(self) -> None:
        """Have everything loaded that waits."""
        for sink in list(self._sinks.values()):
            self.flush(sink)

    def load(
        self,
        sink: "CopySink",
        source: Source,
        number: int,
        common: Mapping[str, object],
        *,
        size: int,
        files: Sequence[str] = (),
    ) -> None:
        """Have a batch loaded; held back while too many are under way.

        size:  bytes that the tap handed over
        files: deleted when it is committed
        """
        progress, layout = sink.progress, sink.layout
        place = progress.place
        direct, place.exists = not place.exists, True
        progress.fed = time.monotonic()
        if direct:
            place.growing, progress.made = self._grows(sink, source), progress.fed
        elif source.marks:
            self.add_key(progress)
        batch = Batch(
            place=place,
            direct=direct,
            growing=place.growing,
            source=source,
            method=self.settings.method,
            hard_delete=self.settings.hard_delete,
            common=common,
            derive=bool(files),
        )

        def work(connection: Connection[Any], wait: Callable[[], None]) -> Loaded:
            with sink.get_batch_processing_timer():
                return batch.load(connection, wait)

        def done(loaded: Loaded) -> None:
            with self._lock:
                sink.record_counter_metric.increment(loaded.rows)
                sink.volume.increment(size)
                if loaded.deleted:
                    sink.deletions.increment(loaded.deleted)
            self.committed(number)
            self.clean(files)

        self._files.update(dict.fromkeys(files))
        self._pool.submit((layout.schema, layout.table), layout.label, work, done)

    def _grows(self, sink: "CopySink", source: Source) -> bool:
        """Whether a table that is made now can do without its key for some time: nothing in it is looked for."""
        removes = self.settings.hard_delete and sink.layout.column(DELETED_AT) is not None
        return sink.keyed and not removes and not source.marks

    def add_key(self, progress: Progress) -> None:
        """Have the key added that a table on its first load still lacks, after all that is under way for it."""
        place = progress.place
        if not place.growing:
            return
        place.growing = False

        def work(connection: Connection[Any], wait: Callable[[], None]) -> None:
            wait()
            finishing.add_key(connection, place)

        self._pool.submit((place.layout.schema, place.layout.table), place.layout.label, work)

    def settle(self) -> None:
        """Everything under way is committed; raises the first failure."""
        self._pool.settle()

    def pause(self) -> None:
        """Between blocks of input: fail early, and send off what has waited long enough."""
        self._pool.check()
        now = time.monotonic()
        late = now - self.oldest
        for sink in [sink for sink in self._sinks.values() if sink.open is not None and sink.open.since < late]:
            self.flush(sink)
        for progress in self._tables.values():
            if progress.place.growing and now > min(progress.fed + _QUIET, progress.made + _LONG):
                self.add_key(progress)

    # ---- states

    def hold(self, state: Any) -> None:
        """A STATE came; it is said when everything before it is committed."""
        self.states += 1
        with self._lock:
            self._ledger.hold(state)
            self._say()

    def committed(self, number: int) -> None:
        """A load is in the database."""
        with self._lock:
            self._ledger.commit(number)
            self._say()

    def _say(self) -> None:
        for state in self._ledger.sayable():
            sys.stdout.write(simplejson.dumps(state, use_decimal=True) + "\n")
            sys.stdout.flush()

    # ---- ends

    def close(self) -> None:
        """Stop loading; what is not committed is rolled back.

        Files that failed go too, if they are where batch files are known to be: the tap delivers them again.
        """
        self._pool.close()
        if self.settings.storage is not None:
            self.clean(list(self._files))

    def clean(self, files: Sequence[str]) -> None:
        """Delete batch files of this machine."""
        for url in files:
            self._files.pop(url, None)
            if self.settings.clean_up:
                with suppress(OSError, DamagedBatchError):
                    batchfiles.delete(url, within=self.settings.storage)

    def _connect(self) -> Connection[Any]:
        settings = self.settings
        defaults = {"connect_timeout": 30, "application_name": "target-postgres-copy", "keepalives_idle": 30}
        try:
            return psycopg.connect(
                **{**defaults, **settings.connection}, autocommit=True, prepare_threshold=None, client_encoding="UTF8"
            )
        except psycopg.Error as error:
            raise not_reached(error, user=settings.user, address=settings.address) from None
