"""The target itself: messages in, loads out."""

import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, ClassVar, Final, NoReturn

import click
import msgspec
from singer_sdk import Target
from singer_sdk.helpers._batch import BaseBatchFileEncoding
from singer_sdk.helpers.capabilities import PluginCapabilities, TargetCapabilities
from singer_sdk.mapper import SameRecordTransform

from target_postgres_copy import batchfiles, ending
from target_postgres_copy.command import TargetCommand
from target_postgres_copy.engine import Engine
from target_postgres_copy.errors import ConfigError, MessageError, MissingSchemaError
from target_postgres_copy.reader import LineReader
from target_postgres_copy.settings import CONFIG_SCHEMA, misfits, read
from target_postgres_copy.sink import CopySink
from target_postgres_copy.sources import records_in

log: Final = logging.getLogger("target-postgres-copy")


class _Envelope(msgspec.Struct, gc=False):
    type: str = ""
    stream: str = ""


_envelope: Final = msgspec.json.Decoder(_Envelope).decode


class TargetPostgresCopy(Target):  # type: ignore[misc]  # the SDK's types are not followed
    """Singer target for Postgres at the speed of COPY."""

    name = "target-postgres-copy"
    package_name = "target-postgres-copy"
    config_jsonschema = CONFIG_SCHEMA
    default_sink_class = CopySink
    message_reader_class = LineReader
    capabilities: ClassVar[list[Any]] = [
        *(known for known in Target.capabilities if known is not TargetCapabilities.VALIDATE_RECORDS),
        PluginCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.BATCH,
        TargetCapabilities.TARGET_SCHEMA,
        TargetCapabilities.HARD_DELETE,
    ]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.engine = Engine(read(self.config))
        self._quick: dict[str, CopySink] = {}  # stream → sink, where no stream map is in between
        self._current: CopySink | None = None
        reader: LineReader = self.message_reader
        reader.take, reader.wake = self._take, self.engine.wake
        reader.pause, reader.end = self.engine.pause, self.engine.close

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """As the SDK's, but no message quotes a value, which may be a secret."""
        super()._validate_config(raise_errors=False)  # fills in defaults
        errors = misfits(self._config, self.config_jsonschema)
        if errors and raise_errors:
            raise ConfigError("The loader's settings are not valid.", hint="; ".join(errors) + ".")
        return errors

    # ---- messages

    def _take(self, line: bytes) -> bool:
        """A RECORD line, the quick way; False if it is something else."""
        sink = self._current
        if sink is not None and _taken(sink, line):
            return True
        found = self._sink_of(line)
        if found is None or found is sink:
            return False
        if sink is not None:
            sink.spill()
        self._current = found
        return _taken(found, line)

    def _sink_of(self, line: bytes) -> CopySink | None:
        try:
            head = _envelope(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return self._quick.get(head.stream) if head.type == "RECORD" else None

    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        stream, schema = message_dict.get("stream"), message_dict.get("schema")
        if not isinstance(stream, str) or not isinstance(schema, dict):
            raise MessageError("The tap wrote a SCHEMA message without stream or schema.", hint="See its log.")
        if not schema.get("properties") or not isinstance(schema["properties"], dict):
            raise MessageError(f"The SCHEMA of {stream} has no properties.", hint="See the tap's own log.")
        known = self.mapper.stream_maps.get(stream)
        if known and (known[0].raw_schema, known[0].raw_key_properties) == (schema, message_dict.get("key_properties")):
            return
        for stream_map in known or ():  # what came so far belongs to the columns as they were
            if stream_map.stream_alias in self._sinks_active:
                self.engine.flush(self._sinks_active[stream_map.stream_alias])
        self._quick.pop(stream, None)
        self._current = None
        super()._process_schema_message(message_dict)
        maps = self.mapper.stream_maps[stream]
        if len(maps) == 1 and type(maps[0]) is SameRecordTransform and not maps[0].flattening_enabled:
            self._quick[stream] = self.get_sink(maps[0].stream_alias)

    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        """A record the long way."""
        record = message_dict.get("record")
        maps = self._maps(message_dict)
        if not isinstance(record, dict):
            raise MessageError("The tap wrote a RECORD message without a record.", hint="See its log.")
        self._transform(maps, record, message_dict, size=self.message_reader.size)

    def _process_batch_message(self, message_dict: dict[str, Any]) -> None:
        maps = self._maps(message_dict)
        try:
            encoding = BaseBatchFileEncoding.from_dict(message_dict["encoding"])
            files = [str(file) for file in message_dict["manifest"]]
        except (KeyError, TypeError):
            raise MessageError(
                "The tap wrote a BATCH message without encoding or files.", hint="See its log."
            ) from None
        sink = self._quick.get(message_dict["stream"])
        if sink is not None:
            sink.process_batch_files(
                encoding,
                files,
                counts=_counts(message_dict.get("record_counts"), files),
                version=message_dict.get("version"),
                extracted=message_dict.get("time_extracted"),
            )
        else:
            storage = self.engine.settings.storage
            for record in records_in(
                message_dict["stream"], files, encoding.format, encoding.compression, within=storage
            ):
                self._transform(maps, record, message_dict)
            self.engine.flush_all()
            self.engine.settle()
            self._sinks_active[maps[0].stream_alias].volume.increment(batchfiles.size(files))
            self.engine.clean(files)
        self.engine.pause()

    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        if "value" not in message_dict:
            raise MessageError("The tap wrote a STATE message without a value.", hint="See its log.")
        self.engine.hold(message_dict["value"])
        self.engine.pause()

    def _process_activate_version_message(self, message_dict: dict[str, Any]) -> None:
        version = message_dict.get("version")
        if not self.engine.settings.activate or not isinstance(version, int):
            return
        for stream_map in self._maps(message_dict):
            sink = self._sinks_active.get(stream_map.stream_alias)
            if sink is not None:
                ending.version_said(self.engine, sink, version)

    def process_endofpipe(self) -> None:
        """All lines are read: load the rest, complete what is complete, say the last STATE."""
        try:
            self.engine.flush_all()
            self.engine.settle()
            for sink in list(self._sinks_active.values()):
                ending.input_ended(self.engine, sink)
            self.engine.settle()
            self.engine.notes.write()
            for sink in [*self._sinks_to_clear, *self._sinks_active.values()]:
                sink.clean_up()
        finally:
            self.engine.close()

    # ---- inside

    def _maps(self, message: Mapping[str, Any]) -> list[Any]:
        maps = self.mapper.stream_maps.get(message.get("stream", ""))
        if maps is None:
            raise MissingSchemaError(
                f"{message.get('type')} of {message.get('stream')} came before its SCHEMA.",
                hint="See the tap's own log.",
            )
        return list(maps)

    def _transform(
        self, maps: Sequence[Any], record: Mapping[str, Any], message: Mapping[str, Any], *, size: int = 0
    ) -> None:
        extracted, version = message.get("time_extracted"), message.get("version")
        for stream_map in maps:
            changed = stream_map.transform(dict(record))
            if changed is not None:
                sink: CopySink = self._sinks_active[stream_map.stream_alias]
                sink.add_record(changed, extracted=extracted, version=version, size=size)

    # ---- the command line

    def _handle_termination(self, signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG002 - the SDK's signature
        """Stop at once and say so in the exit status; STATE is out already for everything committed."""
        log.info("Stopped by %s.", signal.Signals(signum).name)
        sys.exit(128 + signum)

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The SDK's command, with our ending."""
        return TargetCommand.like(super().get_singer_command(), cls.logger)


def _taken(sink: CopySink, line: bytes) -> bool:
    try:
        message = sink.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    if message.stream != sink.stream_name:
        return False
    sink.add(message, line)
    return True


def _counts(said: object, files: Sequence[str]) -> list[int]:
    """Rows of each file, if the message says them: as a list, or by file."""
    if isinstance(said, Mapping):
        said = [said.get(file) for file in files]
    return list(said) if isinstance(said, list) and all(isinstance(count, int) for count in said) else []
