"""One Salesforce object as a stream: which query, in which windows, by which API, and where it stands."""

import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from singer_sdk import Stream, metrics
from singer_sdk.helpers._batch import BatchConfig
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL, Metadata

from tap_salesforce.batches import batch_message
from tap_salesforce.batchfolder import BatchFolder
from tap_salesforce.bookmarks import Closed
from tap_salesforce.deletions import Removed
from tap_salesforce.discovery import DELETED_AT, SalesforceObject
from tap_salesforce.errors import ConfigError, LoaderGoneError
from tap_salesforce.fetching import Fetching
from tap_salesforce.incremental import Incremental, Step
from tap_salesforce.pagefiles import PageFile
from tap_salesforce.reading import Reading, Rows
from tap_salesforce.records import Columns, assert_not_retyped
from tap_salesforce.settings import CSV
from tap_salesforce.windows import Window
from tap_salesforce.writer import LineWriter

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.singerlib import MetadataMapping

    from tap_salesforce.tap import Org


class Measure(StrEnum):
    """What is counted besides what the SDK counts; among the records are so many that arrive marked as deleted."""

    DELETED = "deleted_count"


def keep_keys(metadata: "MetadataMapping", properties: Mapping[str, Any], keys: Iterable[str | None]) -> None:
    """Mark keys and the marks of deletion automatic, so that no selection drops them."""
    for name in (*keys, "IsDeleted", DELETED_AT):
        if name in properties:
            metadata["properties", name].inclusion = Metadata.InclusionType.AUTOMATIC


class SalesforceStream(Stream):  # type: ignore[misc]  # the SDK's types are not followed
    """A stream that knows its object. Bookmarks are written here in final form, never by the SDK."""

    def __init__(self, tap: Any, org: "Org", described: SalesforceObject) -> None:
        self.described = described
        self._org = org
        super().__init__(tap, schema=described.schema, name=described.name)
        self.primary_keys = list(described.primary_key)
        self.replication_key = described.replication_key

    # ---- the catalog

    @property
    def is_sorted(self) -> bool:
        """True, so that the SDK never writes progress markers: windows close in order of the key."""
        return True

    def get_replication_key_signpost(self, context: "Context | None" = None) -> None:
        """None: window bounds never run ahead of what is read."""

    @property
    def metadata(self) -> "MetadataMapping":
        """The SDK's metadata, with what cannot be left out marked automatic."""
        fresh = self._metadata is None
        mapping = super().metadata
        if fresh:
            keep_keys(mapping, self.schema["properties"], [*self.primary_keys, self.replication_key])
        return mapping

    # ---- messages

    def _write_schema_message(self) -> None:
        """The SDK's, and how loaders of pages find out when a record was deleted.

        Without the fields that are gone: a loader would take their silence for null, in every row that comes.
        """
        for message in self._generate_schema_messages():
            properties = message.schema["properties"]
            if self._is_plain():
                for name in self._gone():
                    properties.pop(name, None)
                if self.described.deleted_stamp and DELETED_AT in properties:
                    rule = {"when": "IsDeleted", "value": self.described.deleted_stamp}
                    properties[DELETED_AT]["x-derived"] = rule
            self._tap.write_message(message)

    def get_record_counter(
        self, *, endpoint: str | None = None, log_interval: float = metrics.DEFAULT_LOG_INTERVAL
    ) -> metrics.Counter:
        """Counts often enough to watch (the SDK's default is once a minute)."""
        return super().get_record_counter(endpoint=endpoint, log_interval=self._metrics_interval(log_interval))

    def _metrics_interval(self, default: float) -> float:
        return float(self.config.get("metrics_interval_seconds") or default)

    def _deletion_counter(self) -> metrics.Counter:
        interval = self._metrics_interval(metrics.DEFAULT_LOG_INTERVAL)
        return metrics.Counter(Measure.DELETED, {metrics.Tag.STREAM: self.name}, interval)

    def _request_counter(self) -> metrics.Counter:
        interval = self._metrics_interval(metrics.DEFAULT_LOG_INTERVAL)
        return metrics.Counter(metrics.Metric.HTTP_REQUEST_COUNT, {metrics.Tag.STREAM: self.name}, interval)

    def get_records(self, context: "Context | None") -> "Iterable[Record]":  # noqa: ARG002 - the SDK's signature
        """All records, as Python values and without bookmarks."""
        columns = self._columns()
        for step in self._steps():
            if not isinstance(step, Closed | Removed | PageFile):
                yield from columns.records(step)

    def _sync_records(
        self,
        context: "Context | None" = None,  # noqa: ARG002 - the SDK's signature
        *,
        write_messages: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Write RECORD messages, and STATE whenever a window closes.

        With write_messages=False (the SDK's own BATCH files) records are yielded instead, and the SDK
        writes STATE behind each file: the bookmark then never covers a record that is not in a file yet.
        """
        yield from self._sync_steps(None, write_messages=write_messages)

    def _sync_batches(self, batch_config: BatchConfig, context: "Context | None" = None) -> None:
        """BATCH messages: of csv our own, whose files are Bulk result pages, of other formats the SDK's.

        What cannot come as a page comes as RECORD messages of the same stream.
        """
        if batch_config.encoding.format != CSV:
            super()._sync_batches(batch_config, context)
            return
        as_records = self._why_no_files()
        if as_records:
            self.log("%s comes as RECORD messages: %s.", self.name, as_records)
            deque(self._sync_steps(None), maxlen=0)
            return
        room = self._org.settings.batch_storage
        with BatchFolder.of(self.config["batch_config"], room=room) as folder:
            try:
                deque(self._sync_steps(folder), maxlen=0)
            except LoaderGoneError:
                folder.take_back()
                raise

    def _why_no_files(self) -> str | None:
        if not self._is_lean():
            return "stream maps and flattening need the values"
        if self.ABORT_AT_RECORD_COUNT is not None:
            return "a dry run reads a few records only"
        return "it is not read by the Bulk API" if self._reading().by_rest else None

    def _sync_steps(self, folder: BatchFolder | None, *, write_messages: bool = True) -> Iterator[dict[str, Any]]:
        columns = self._columns()
        lean, made = write_messages and self._is_lean(), self._org.client.requests_made
        with (
            self._request_counter() as requests,
            self.get_record_counter() as counter,
            self._deletion_counter() as deletions,
            self.get_sync_timer(),
            closing(self._steps(folder)) as steps,
        ):
            for step in steps:
                deletions.increment(columns.deletions())
                if isinstance(step, Closed):
                    self._remember(step)
                    if write_messages and step.at_once:
                        self._write_state_message()
                elif lean or isinstance(step, Removed | PageFile):
                    counter.increment(self._write(columns, step, folder))
                else:
                    for record in columns.records(step):
                        if write_messages:
                            self._write_record_message(record)
                        yield record
                        counter.increment()
            deletions.increment(columns.deletions())
            requests.increment(self._org.client.requests_made - made)
        self.state_manager.is_flushed = False
        if write_messages:
            self._write_state_message()

    def _is_lean(self) -> bool:
        """Whether lines can be written directly: no stream maps, no flattening, our own writer."""
        flat = self._is_plain() and not self.config.get("flattening_enabled")
        return flat and isinstance(self._tap.message_writer, LineWriter)

    def _write(self, columns: Columns, step: Rows | PageFile | Removed, folder: BatchFolder | None) -> int:
        """RECORD messages of many rows or tombstones, or a BATCH message of a page; how many records that are."""
        self.state_manager.is_flushed = False
        if isinstance(step, PageFile):
            assert folder is not None  # noqa: S101 - pages come of it; for the type checker
            self._write_batch(folder, step)
            return step.rows
        if isinstance(step, Removed):
            for record in columns.tombstones(step.ids):
                self._write_record_message(record)
            return len(step.ids)
        extracted = datetime.now(UTC).isoformat()
        writer = self._tap.message_writer
        assert isinstance(writer, LineWriter)  # noqa: S101 - _is_lean() said so; for the type checker
        writer.write_lines(columns.lines(step, extracted=extracted, version=self._stream_version))
        return len(step)

    def _write_batch(self, folder: BatchFolder, page: PageFile) -> None:
        if not page.rows:
            folder.drop(page.path)
            return
        self._tap.write_message(batch_message(self.name, page, zipped=folder.zipped, version=self._stream_version))
        folder.give(page.path)

    def _is_plain(self) -> bool:
        """Whether records are written as they are read."""
        return len(self.stream_maps) == 1 and type(self.stream_maps[0]) is SameRecordTransform

    def _remember(self, step: Closed) -> None:
        state = self.stream_state
        for name in step.instead_of:
            state.pop(name, None)
        state.update(step.marks)
        self.state_manager.is_flushed = False

    # ---- extraction

    def _columns(self) -> Columns:
        emitted = self.stream_maps[0].transformed_schema["properties"] if self._is_lean() else self._selected()
        return Columns(
            self.name, self._fields(), emitted, deleted_at=DELETED_AT, deleted_when=self.described.deleted_stamp
        )

    def _selected(self) -> dict[str, Any]:
        properties = self.effective_schema["properties"]
        return {name: facts for name, facts in properties.items() if self.mask["properties", name]}

    def _fields(self) -> list[str]:
        """What is queried: the selection that still exists, keys, and what deletion is told by."""
        selected, existing = self._selected(), self.described.schema["properties"]
        extra = [*self.primary_keys, self.replication_key]
        extra += ["IsDeleted", self.described.deleted_stamp] if self.described.deleted_stamp else []
        names = dict.fromkeys([*selected, *filter(None, extra)])
        return [name for name in names if name in existing and name != DELETED_AT]

    def _gone(self) -> list[str]:
        """What is selected, but was removed or is hidden from this user since the discovery."""
        return [name for name in self._selected() if name not in self.described.schema["properties"]]

    def _steps(self, folder: BatchFolder | None = None) -> Generator[Step]:
        """Rows (or pages of them, if there is a folder for files), tombstones and closed windows, in order."""
        assert_not_retyped(self.name, self._selected(), self.described.schema["properties"])
        if gone := self._gone():
            self.log(
                "%s no longer has %s, or this user may not see it: what the destination holds of it stays, the rest "
                "is read. Grant access to it, or run discovery again.",
                self.name,
                ", ".join(gone),
                level=logging.WARNING,
            )
        if self.ABORT_AT_RECORD_COUNT is not None:
            yield from self._dry_run(self.ABORT_AT_RECORD_COUNT)
        elif self.replication_method == REPLICATION_INCREMENTAL:
            yield from self._incremental().steps(self._reader(folder), self.stream_state)
        else:
            yield from (step for step in self._reader(folder).steps([None]) if not isinstance(step, Window))

    def _dry_run(self, limit: int) -> Iterator[Rows]:
        """The first records only; ends as the SDK's dry runs do."""
        number = 0
        for page in self._reading().first(limit + 1):
            for row in page:
                self._check_max_record_limit(number)
                number += 1
                yield [row]

    def _incremental(self) -> Incremental:
        return Incremental(
            self._org,
            self.described,
            self._time_key(),
            selected=self._selected(),
            fields=self._fields(),
            plain=self._is_plain(),
        )

    def _reader(self, folder: BatchFolder | None) -> Reading | Fetching:
        """What reads windows: into files where there is a folder for them."""
        if folder is None:
            return self._reading()
        return Fetching(self._reading().for_files(), folder, self._tap.message_writer.reader_is_gone)

    def _reading(self) -> Reading:
        live = not self._org.settings.include_deleted and "IsDeleted" in self.described.schema["properties"]
        return Reading(self._org, self.name, self._fields(), live=live)

    def _time_key(self) -> str:
        key = self.replication_key
        described = self.described.schema["properties"].get(key or "", {})
        if not key or described.get("format") != "date-time":
            raise ConfigError(
                f"{self.name} cannot be read incrementally by {key or 'nothing'}.",
                hint=f"Use {self.described.replication_key or 'FULL_TABLE'} in the catalog.",
            )
        return key
