"""One stream on its way into its table: the SDK's sink, with the per-record path taken out."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from singer_sdk import metrics
from singer_sdk.helpers._batch import BaseBatchFileEncoding
from singer_sdk.sinks import Sink

from target_postgres_copy import batchfiles
from target_postgres_copy import layout as layouts
from target_postgres_copy.engine import Engine
from target_postgres_copy.errors import MessageError
from target_postgres_copy.layout import BATCH_WIDE, DELETED_AT, VERSION
from target_postgres_copy.records import RecordFormat, Row, decode
from target_postgres_copy.settings import LoadMethod
from target_postgres_copy.sources import BatchFiles, RecordBuffer

if TYPE_CHECKING:
    from target_postgres_copy.target import TargetPostgresCopy

_ROWS: Final = 500  # rows that are turned into CSV together
_BYTES: Final = 1 << 18  # or as many bytes of lines


class Measure(StrEnum):
    """What is counted besides what the SDK counts.

    DELETED: among the records of files are so many that came as deleted
    BYTES:   of what is committed, as the tap handed it over: RECORD lines, and batch files as they are
    """

    DELETED = "deleted_count"
    BYTES = "byte_count"


@dataclass(slots=True, kw_only=True)
class Open:
    """Records that are not on their way yet. number: in the ledger; since: monotonic seconds; bytes: of their lines."""

    number: int
    buffer: RecordBuffer
    version: int | None
    bytes: int = 0
    since: float = field(default_factory=time.monotonic)


class CopySink(Sink):  # type: ignore[misc]  # the SDK's types are not followed
    """Turns records into rows as they come; the target has them loaded."""

    def __init__(self, target: "TargetPostgresCopy", *args: Any, **kwargs: Any) -> None:
        super().__init__(target, *args, **kwargs)
        self.engine: Engine = target.engine
        self.deletions = metrics.Counter(Measure.DELETED, {metrics.Tag.STREAM: self.stream_name})
        self.volume = metrics.Counter(Measure.BYTES, {metrics.Tag.STREAM: self.stream_name})
        self.pending: list[Row] = []
        self.bytes = 0  # of the lines that are pending
        self.open: Open | None = None
        limit = self.engine.settings.batch_rows
        self._step = min(_ROWS, limit)
        self._limit = limit - self._step

    def setup(self) -> None:
        """Arrange the columns and have the table ready for them."""
        settings = self.engine.settings
        self.layout = layouts.arrange(
            self.stream_name, self.schema, list(self.key_properties), default_schema=settings.schema
        )
        self.keyed = bool(self.layout.keys) and settings.method is not LoadMethod.APPEND
        self.shape = RecordFormat(self.layout, metadata=settings.metadata)
        self.decode: Callable[[bytes], Any] = self.shape.message_decoder()
        self.progress = self.engine.prepare(self)
        self._row = self.shape.row
        self._deleted_at = self.shape.deleted_at if self.keyed else None

    def clean_up(self) -> None:
        """Say the last counts."""
        super().clean_up()
        self.deletions.exit()
        self.volume.exit()

    # ---- records

    def add(self, message: Any, line: bytes) -> None:
        """A RECORD message, decoded by `decode` from a line."""
        row = self._row(message)
        at = self._deleted_at
        buried = at is not None and row[at] is not None and self.shape.is_tombstone(decode(line)["record"])
        self.take(row, message.version, len(line), buried=buried)

    def add_record(self, record: Mapping[str, Any], *, extracted: object, version: int | None, size: int = 0) -> None:
        """A record the long way: transformed by stream maps, or of an unusual shape. size: of its line, in bytes."""
        row, at = self.shape.row_of(record, extracted=extracted), self._deleted_at
        buried = at is not None and row[at] is not None and self.shape.is_tombstone(record)
        self.take(row, version, size, buried=buried)

    def take(self, row: Row, version: int | None, size: int, *, buried: bool) -> None:
        """A row, or a tombstone."""
        progress = self.progress
        progress.stamp = self.engine.states
        waiting = self.open
        if waiting is None or version != waiting.version:
            waiting = self._begin(version)
        if buried:
            waiting.buffer.bury(row)
            waiting.bytes += size
            if waiting.buffer.rows > self._limit:
                self.engine.flush(self)
            return
        if waiting.buffer.tombstones:
            waiting.buffer.revive(row)
        self.pending.append(row)
        self.bytes += size
        if len(self.pending) >= self._step or self.bytes > _BYTES:
            self.spill()

    def spill(self) -> None:
        """What is pending becomes CSV; a full buffer is on its way."""
        if self.open is None or not self.pending:
            return
        buffer = self.open.buffer
        buffer.add(self.pending)
        self.open.bytes += self.bytes
        self.pending = []
        self.bytes = 0
        if buffer.rows > self._limit or buffer.size >= self.engine.batch_bytes:
            self.engine.flush(self)

    def _begin(self, version: int | None) -> Open:
        if self.open is not None:
            self.engine.flush(self)
        self.progress.rows = True
        self.open = Open(
            number=self.engine.opened(self.progress, self), buffer=RecordBuffer(self.shape), version=version
        )
        return self.open

    def common(self, version: int | None, *, extracted: str | None = None) -> dict[str, object]:
        """Values of the metadata columns that a batch shares; source: the SDK's Sink, per record there."""
        version = self.progress.version if version is None else version
        self.progress.unversioned |= version is None
        if not self.include_sdc_metadata_properties:
            return {}
        now = datetime.now(UTC)
        return {
            layouts.EXTRACTED_AT: extracted,
            "_sdc_received_at": now.isoformat(),
            "_sdc_batched_at": now.isoformat(),
            "_sdc_sequence": int(now.timestamp() * 1000),
            VERSION: version,
            "_sdc_sync_started_at": self.sync_started_at,
        }

    # ---- what the SDK asks for

    def get_validator(self) -> None:
        """None: Postgres judges every value."""

    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:
        """One record, however it came."""
        del context
        self.add_record(record, extracted=record.get(layouts.EXTRACTED_AT), version=None)

    def process_batch(self, context: dict[str, Any]) -> None:
        """Records in a list, as the SDK's own batches are."""
        for record in context.get("records", ()):
            self.process_record(record, context)

    def process_batch_files(
        self,
        encoding: BaseBatchFileEncoding,
        files: Sequence[str],
        *,
        counts: Sequence[int] = (),
        version: int | None = None,
        extracted: str | None = None,
    ) -> None:
        """Load files; they are counted and deleted when that is committed. counts: rows of each, if they are known."""
        if counts and len(counts) != len(files):
            raise MessageError(f"A BATCH message of {self.stream_name} counts other files than it lists.", hint="")
        self.engine.flush(self)
        self.progress.rows = True
        self.progress.stamp = self.engine.states
        extracted = extracted or datetime.now(UTC).isoformat()
        source = BatchFiles(
            stream=self.stream_name,
            urls=tuple(files),
            within=self.engine.settings.storage,
            format=encoding.format,
            compression=encoding.compression,
            counts=tuple(counts),
            extracted=extracted,
            shape=self.shape,
        )
        common = self.common(version, extracted=extracted)
        number = self.engine.opened(self.progress)
        self.engine.load(self, source, number, common, size=batchfiles.size(files), files=files)

    def _add_sdc_metadata_to_schema(self) -> None:
        """As the SDK's, but what the tap itself says about a column stays."""
        own = dict(self.schema["properties"])
        super()._add_sdc_metadata_to_schema()
        self.schema["properties"].update({name: facts for name, facts in own.items() if name == DELETED_AT})

    def _remove_sdc_metadata_from_schema(self) -> None:
        """As the SDK's, but when a row was deleted at the source is data."""
        for name in BATCH_WIDE:
            self.schema["properties"].pop(name, None)
