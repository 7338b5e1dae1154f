"""The target itself: messages in, batches out."""

import json
import logging
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import IO, Any, ClassVar, Final, NoReturn, Self

import click
from singer_sdk import Target
from singer_sdk import typing as th
from singer_sdk.helpers._batch import BaseBatchFileEncoding
from singer_sdk.helpers.capabilities import PluginCapabilities, TargetCapabilities
from singer_sdk.io_base import SingerReader
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.plugin_base import SingerCommand

from target_duckdb import files
from target_duckdb.database import Database
from target_duckdb.errors import ConfigError, LoadError, MessageError, MissingSchemaError
from target_duckdb.loading import Store
from target_duckdb.notes import Notes
from target_duckdb.parquet import ParquetFolder
from target_duckdb.sink import DuckDBSink, no_maps

log: Final = logging.getLogger("target-duckdb")

_ENCODING: Final = th.ObjectType(
    th.Property("format", th.StringType(allowed_values=["csv", "jsonl"]), title="Format"),
    th.Property("compression", th.StringType(allowed_values=["gzip", "none"]), title="Compression"),
)
_STORAGE: Final = th.ObjectType(
    th.Property("root", th.StringType(), title="Root"), th.Property("prefix", th.StringType(), title="Prefix")
)
_CONFIG: Final[dict[str, Any]] = th.PropertiesList(
    th.Property(
        "path",
        th.StringType(),
        required=True,
        title="File or folder",
        description="A DuckDB file; with parquet a folder.",
    ),
    th.Property(
        "format",
        th.StringType(allowed_values=["duckdb", "parquet"]),
        default="duckdb",
        title="Format",
        description="duckdb: tables of one file. parquet: a folder of files per stream, one more with every batch.",
    ),
    th.Property(
        "default_target_schema", th.StringType(), default="main", title="Schema", description="Where the tables go."
    ),
    th.Property(
        "load_method",
        th.StringType(allowed_values=["upsert", "append-only"]),
        default="upsert",
        title="Load method",
        description="upsert: rows with the same key are replaced. append-only: every row is added.",
    ),
    th.Property(
        "hard_delete",
        th.BooleanType(),
        default=False,
        title="Remove deleted rows",
        description="Otherwise they stay, with _sdc_deleted_at set. Parquet files always keep them.",
    ),
    th.Property(
        "add_record_metadata",
        th.BooleanType(),
        default=True,
        title="Metadata columns",
        description="Add _sdc_extracted_at and others.",
    ),
    th.Property("batch_size_rows", th.IntegerType(minimum=1), default=50_000, title="Rows per batch"),
    th.Property(
        "lock_timeout",
        th.NumberType(),
        default=30,
        title="Patience",
        description="Seconds to wait for another process that has the DuckDB file open.",
    ),
    th.Property(
        "batch_config",
        th.ObjectType(
            th.Property("encoding", _ENCODING, title="Encoding"), th.Property("storage", _STORAGE, title="Storage")
        ),
        title="Batches",
        description="Of storage.root batch files are read, and deleted when they are loaded, and of nowhere else.",
    ),
    th.Property(
        "continued_streams",
        th.ArrayType(th.StringType()),
        title="Continued streams",
        description="Whose tables hold earlier rows: where one is gone, the load ends. Not for parquet.",
    ),
    th.Property(
        "notes_file",
        th.StringType(),
        title="Notes",
        description="Where the columns of each load are noted for the next: a continued stream may lack none of them.",
    ),
).to_dict()


class TargetCommand(SingerCommand):  # type: ignore[misc]  # the SDK's types are not followed
    """Runs the target; a foreseen failure is one sentence and an exit status, never a traceback."""

    @classmethod
    def like(cls, made: click.Command, logger: logging.Logger) -> Self:
        """The same command as the SDK made."""
        facts = {name: getattr(made, name) for name in ("name", "callback", "context_settings", "params", "help")}
        return cls(**facts, logger=logger)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; a failure is said once for people and once for machines."""
        try:
            return super().main(*args, **kwargs)
        except LoadError as error:
            self.logger.error("%s", error)  # noqa: TRY400 - the traceback would tell people nothing
            self.logger.error("FAILURE: %s", error.as_json())  # noqa: TRY400
            sys.exit(1)


class LineReader(SingerReader):  # type: ignore[misc]  # the SDK's types are not followed
    """The SDK's reader, which is asked for the size of lines, and says in words what is no message."""

    @property
    def size(self) -> int:
        """Bytes of the line that is being handled, without its end."""
        line: str = self._current_message
        return len(line if line.isascii() else line.encode(errors="replace")) - line.endswith("\n")

    def deserialize_json(self, line: str) -> dict[str, Any]:
        """A message; MessageError if it is none. The SDK's own error shows the line, which may be a record.

        NaN and Infinity, which JSON doesn't have, are texts: a column of numbers refuses them by name.
        """
        try:
            message = json.loads(line, parse_float=Decimal, parse_constant=str)
        except (ValueError, RecursionError):
            raise MessageError("The tap wrote a line that is not JSON.") from None
        if not isinstance(message, dict):
            raise MessageError("The tap wrote a line that is not a Singer message.")
        return message

    @staticmethod
    def assert_line_requires(line_dict: dict[str, Any], requires: set[str]) -> None:
        """MessageError where something is missing; the SDK's own error shows the message."""
        if missing := requires - line_dict.keys():
            raise MessageError(
                f"The tap wrote a {line_dict.get('type', 'message')} without {', '.join(sorted(missing))}."
            )

    def _process_unknown_message(self, message_dict: dict[str, Any]) -> None:
        del message_dict
        raise MessageError("The tap wrote a message of a type that Singer does not know.")


class TargetDuckDB(Target):  # type: ignore[misc]  # the SDK's types are not followed
    """Singer target for DuckDB and Parquet files."""

    name = "target-duckdb"
    package_name = "target-duckdb"
    config_jsonschema = _CONFIG
    default_sink_class = DuckDBSink
    message_reader_class = LineReader
    capabilities: ClassVar[list[Any]] = [
        *(known for known in Target.capabilities if known is not TargetCapabilities.VALIDATE_RECORDS),
        PluginCapabilities.BATCH,
        TargetCapabilities.TARGET_SCHEMA,
        TargetCapabilities.HARD_DELETE,
    ]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_parallelism = 1  # DuckDB spreads its own work
        self._store: Store | None = None
        self._streams: dict[str, str] = {}
        self._stopped = 0
        self._notes = Notes(Path(self.config["notes_file"]) if self.config.get("notes_file") else None)

    @property
    def store(self) -> Store:
        """Where streams go; opened when the first one comes."""
        if self._store is None:
            path = Path(self.config["path"]).expanduser().absolute()
            if self.config["format"] == "parquet":
                self._store = ParquetFolder(path)
            else:
                schema, hard = self.config["default_target_schema"], self.config["hard_delete"]
                self._store = Database(
                    path,
                    schema,
                    hard_delete=hard,
                    continued=frozenset(self.config.get("continued_streams") or ()),
                    patience=float(self.config["lock_timeout"]),
                    notes=self._notes,
                )
        return self._store

    def claim(self, stream: str, table: str) -> None:
        """A table is one stream's; ConfigError where it is another's already."""
        other = self._streams.setdefault(table.casefold(), stream)
        if other != stream and self.config["format"] == "duckdb":
            raise ConfigError(
                f"The streams {other} and {stream} would both be loaded into the table {table}.",
                hint="Give one of them another name by a stream map (__alias__), or deselect it.",
            )

    def close(self) -> None:
        """Give the file back; what is not committed is forgotten."""
        for sink in (*self._sinks_to_clear, *self._sinks_active.values()):
            sink.forget()
        if self._store is not None:
            self._store.close()
            self._store = None

    # ---- messages

    def process_lines(self, file_input: IO[str] | None) -> Any:
        """Handle all messages."""
        with self._given_back_at_failure():
            return super().process_lines(file_input)

    def process_endofpipe(self) -> None:
        """All lines are read: load the rest, say the last STATE, give the file back."""
        with self._given_back_at_failure():
            super().process_endofpipe()
        self._notes.write()
        self.close()

    @contextmanager
    def _given_back_at_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            if self._stopped:  # DuckDB makes an error of its own of what a signal handler raises during a query
                raise SystemExit(self._stopped) from None
            raise

    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        stream, schema = message_dict.get("stream"), message_dict.get("schema")
        if not isinstance(stream, str) or not isinstance(schema, dict):
            raise MessageError("The tap wrote a SCHEMA message without stream or schema.")
        if not isinstance(schema.get("properties"), dict) or not schema["properties"]:
            raise MessageError(f"The SCHEMA of {stream} has no properties.")
        known = self.mapper.stream_maps.get(stream)
        if known and (known[0].raw_schema, known[0].raw_key_properties) == (schema, message_dict.get("key_properties")):
            return
        for stream_map in known or ():  # what came so far belongs to the columns as they were
            if stream_map.stream_alias in self._sinks_active:
                self.drain_one(self._sinks_active[stream_map.stream_alias])
        super()._process_schema_message(message_dict)

    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        record = message_dict.get("record")
        if not isinstance(record, dict):
            raise MessageError("The tap wrote a RECORD message without a record.")
        self._take(record, message_dict, size=self.message_reader.size)
        self._handle_max_record_age()

    def _process_batch_message(self, message_dict: dict[str, Any]) -> None:
        maps, stream = self._maps(message_dict), message_dict["stream"]
        try:
            encoding = BaseBatchFileEncoding.from_dict(message_dict["encoding"])
            urls = [str(url) for url in message_dict["manifest"]]
        except (KeyError, TypeError):
            raise MessageError("The tap wrote a BATCH message without encoding or files.") from None
        counts, extracted = message_dict.get("record_counts"), message_dict.get("time_extracted")
        plain = len(maps) == 1 and type(maps[0]) is SameRecordTransform and not maps[0].flattening_enabled
        if plain:
            sink: DuckDBSink = self._sinks_active[maps[0].stream_alias]
            sink.process_batch_files(encoding, urls, counts=_counts(counts, urls), extracted=extracted)
        elif encoding.format == "jsonl":
            for file in files.batch_files(urls, self.config):
                for record in files.records(file, encoding.compression or "none"):
                    self._take(record, message_dict, size=0)
        else:
            raise no_maps(stream)
        self._handle_max_record_age()

    def _process_activate_version_message(self, message_dict: dict[str, Any]) -> None:
        log.warning("%s: rows of earlier versions stay; this loader removes none.", message_dict.get("stream"))

    # ---- inside

    def _maps(self, message: Mapping[str, Any]) -> Sequence[Any]:
        maps: Sequence[Any] | None = self.mapper.stream_maps.get(message.get("stream", ""))
        if maps is None:
            raise MissingSchemaError(f"{message.get('type')} of {message.get('stream')} came before its SCHEMA.")
        return maps

    def _take(self, record: Mapping[str, Any], message: Mapping[str, Any], *, size: int) -> None:
        for stream_map in self._maps(message):
            changed = stream_map.transform(dict(record))
            if changed is not None:
                sink: DuckDBSink = self._sinks_active[stream_map.stream_alias]
                sink.take(changed, extracted=message.get("time_extracted"), version=message.get("version"), size=size)
                if sink.is_full:
                    self.drain_one(sink)

    def _handle_termination(self, signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG002 - the SDK's signature
        """Stop at once and say so in the exit status; STATE is out already for everything committed."""
        log.info("Stopped by %s.", signal.Signals(signum).name)
        self._stopped = 128 + signum
        sys.exit(self._stopped)

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The SDK's command, with our ending."""
        return TargetCommand.like(super().get_singer_command(), cls.logger)


def _counts(said: object, urls: Sequence[str]) -> list[int]:
    """Rows of each file, if the message says them: as a list, or by file."""
    if isinstance(said, Mapping):
        said = [said.get(url) for url in urls]
    return list(said) if isinstance(said, list) and all(isinstance(count, int) for count in said) else []
