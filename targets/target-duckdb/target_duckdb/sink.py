"""One stream on its way into its table: records go to a file of CSV, which DuckDB then reads like any other."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from singer_sdk import metrics
from singer_sdk.sinks import BatchSink

from target_duckdb import files
from target_duckdb.errors import ConfigError, MessageError
from target_duckdb.files import BatchFile, RecordFile
from target_duckdb.layout import DELETED_AT, EXTRACTED_AT, OURS, VERSION, arrange
from target_duckdb.stage import Source, batch_sources

if TYPE_CHECKING:
    from target_duckdb.target import TargetDuckDB


class Measure(StrEnum):
    """What is counted besides what the SDK counts.

    BYTES: of what is committed, as the tap handed it over: RECORD lines, and batch files as they are
    """

    BYTES = "byte_count"


class DuckDBSink(BatchSink):  # type: ignore[misc]  # the SDK's types are not followed
    """Hands batches to the store."""

    def __init__(self, target: "TargetDuckDB", *args: Any, **kwargs: Any) -> None:
        super().__init__(target, *args, **kwargs)
        self._target = target
        self._volume = metrics.Counter(Measure.BYTES, {metrics.Tag.STREAM: self.stream_name})

    def setup(self) -> None:
        """Arrange the columns and have the table ready for them."""
        self.layout = arrange(self.stream_name, self.schema, list(self.key_properties))
        self.keyed = bool(self.layout.keys) and self.config["load_method"] == "upsert"
        self._target.claim(self.stream_name, self.layout.table)
        self._target.store.prepare(self.layout, keyed=self.keyed)

    def clean_up(self) -> None:
        """Say the last counts."""
        super().clean_up()
        self._volume.exit()

    # ---- records

    def take(self, record: Mapping[str, Any], *, extracted: str | None, version: int | None, size: int) -> None:
        """A record that waits for its batch. size: of its line, in bytes; 0 where it came in a file."""
        self.tally_record_read()
        context = self._get_context(record)
        context["file"].add(record, extracted=extracted, version=version)
        context["bytes"] += size
        self._after_process_record(context)

    def start_batch(self, context: dict[str, Any]) -> None:
        """A file for the records to come."""
        context["file"], context["bytes"] = RecordFile(self.layout), 0

    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:
        """One record, as the SDK calls it."""
        context["file"].add(record, extracted=None, version=None)

    def process_batch(self, context: dict[str, Any]) -> None:
        """Load the records that came."""
        file: RecordFile = context["file"]
        try:
            self._load([Source.of(file)])
            self.loaded(context["bytes"])
        finally:
            file.close()

    def forget(self) -> None:
        """Records that wait will not be loaded."""
        if self._pending_batch is not None:
            self._pending_batch["file"].close()

    # ---- files

    def process_batch_files(
        self,
        encoding: Any,
        urls: Sequence[str],
        *,
        counts: Sequence[int] = (),
        extracted: str | None = None,
    ) -> None:
        """Load the files of a BATCH message in one transaction; when it is committed, they go."""
        if counts and len(counts) != len(urls):
            raise MessageError(f"A BATCH message of {self.stream_name} counts other files than it lists.")
        self._target.drain_one(self)  # what came before
        batch = files.batch_files(urls, self.config)
        if encoding.format == "jsonl":
            self._load_lines(batch, encoding.compression, counts, extracted)
        else:
            sources = batch_sources(self.layout, batch, encoding.format, encoding.compression, counts)
            with self.batch_processing_timer:
                self._load(sources, extracted=extracted)
        self.loaded(sum(file.size for file in batch))
        for file in batch:
            with suppress(OSError):
                file.delete()

    def loaded(self, size: int) -> None:
        """So many bytes that the tap handed over are in the table."""
        self._volume.increment(size)

    def _load_lines(
        self, batch: Sequence[BatchFile], compression: str | None, counts: Sequence[int], extracted: str | None
    ) -> None:
        """JSON Lines take the way of records: DuckDB's own reader would round their decimals."""
        file = RecordFile(self.layout)
        try:
            for at, batch_file in enumerate(batch):
                before = file.count
                for record in files.records(batch_file, compression or "none"):
                    file.add(record, extracted=extracted, version=None)
                if counts and file.count - before != counts[at]:
                    raise files.other_count(self.stream_name, file.count - before, counts[at])
            with self.batch_processing_timer:
                self._load([Source.of(file)])
        finally:
            file.close()

    # ---- both

    def _load(self, sources: Sequence[Source], *, extracted: str | None = None) -> None:
        now = datetime.now(UTC)
        store = self._target.store
        common: dict[str, object] = {
            EXTRACTED_AT: extracted or now.isoformat(),
            "_sdc_received_at": now.isoformat(),
            "_sdc_batched_at": now.isoformat(),
            VERSION: None,
            "_sdc_sync_started_at": self.sync_started_at,
            **store.common(self.layout, int(now.timestamp() * 1000)),
        }
        self.record_counter_metric.increment(store.load(self.layout, sources, common, keyed=self.keyed))

    # ---- what the SDK asks for

    def get_validator(self) -> None:
        """None: DuckDB judges every value."""

    def _add_sdc_metadata_to_schema(self) -> None:
        """As the SDK's, but what the tap itself says about a column stays."""
        own = self.schema["properties"].get(DELETED_AT)
        super()._add_sdc_metadata_to_schema()
        if own is not None:
            self.schema["properties"][DELETED_AT] = own

    def _remove_sdc_metadata_from_schema(self) -> None:
        """As the SDK's, but when a row was deleted at the source is data."""
        for name in OURS:
            self.schema["properties"].pop(name, None)


def no_maps(stream: str) -> ConfigError:
    """CSV has no types that a stream map could work with."""
    return ConfigError(
        f"Stream maps and flattening cannot be applied to csv files, as {stream} comes in.",
        hint="Remove them, or let the tap write jsonl.",
    )
