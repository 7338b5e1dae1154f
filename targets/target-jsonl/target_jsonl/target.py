"""The target and its one kind of sink."""

import json
import logging
import signal
import sys
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn, Self
from urllib.parse import quote

import click
import simplejson  # type: ignore[import-untyped]  # its stubs are a package of their own
from singer_sdk import BatchSink, Target, metrics
from singer_sdk import typing as th
from singer_sdk.exceptions import InvalidRecord
from singer_sdk.io_base import SingerReader
from singer_sdk.plugin_base import SingerCommand

from target_jsonl.appending import append
from target_jsonl.errors import DestinationError, LoadError, MessageError, MisfitError, MissingKeyError

log: Final = logging.getLogger("target-jsonl")


def file_name(stream: str) -> str:
    """A name without a path in it, one per stream; quoting leaves dots alone, so a leading one is quoted here."""
    name = quote(stream, safe="")
    return f"{'%2E' + name[1:] if name.startswith('.') else name}.jsonl"


def _written(value: object) -> str:
    """Times as ISO 8601, where a batch file of Parquet has brought them."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


class Measure(StrEnum):
    """What is counted besides what the SDK counts. BYTES: of the RECORD lines whose records are on disk."""

    BYTES = "byte_count"


def _refused(constant: str) -> NoReturn:
    """JSON has no NaN and no Infinity."""
    raise ValueError(constant)


class LineReader(SingerReader):  # type: ignore[misc]  # the SDK's types are not followed
    """The SDK's reader, which is asked for the size of lines, and says in words what is no message."""

    @property
    def size(self) -> int:
        """Bytes of the line that is being handled, without its end."""
        line: str = self._current_message
        return len(line if line.isascii() else line.encode(errors="replace")) - line.endswith("\n")

    def deserialize_json(self, line: str) -> dict[str, Any]:
        """A message; MessageError if it is none. The SDK's own error shows the line, which may be a record."""
        try:
            message = json.loads(line, parse_float=Decimal, parse_constant=_refused)
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


class JsonlSink(BatchSink):  # type: ignore[misc]  # the SDK's types are not followed
    """Appends batches to the stream's file."""

    max_size = 10_000

    def __init__(self, target: Target, *args: Any, **kwargs: Any) -> None:
        super().__init__(target, *args, **kwargs)
        self._reader: LineReader = target.message_reader
        self._volume = metrics.Counter(Measure.BYTES, {metrics.Tag.STREAM: self.stream_name})

    def start_batch(self, context: dict[str, Any]) -> None:
        """Records to come; of their lines, how many bytes."""
        context["bytes"] = 0

    def _validate_and_parse(self, record: dict[str, Any]) -> dict[str, Any]:
        """As the SDK's, whose own error shows the value. Raises MisfitError."""
        try:
            parsed: dict[str, Any] = super()._validate_and_parse(record)
        except InvalidRecord as error:
            field = ".".join(map(str, getattr(error.__cause__, "absolute_path", ())))
            raise MisfitError(
                f"A record of {self.stream_name} does not fit its schema{field and f': {field}'}.",
                hint="Discover the streams again, then sync; see the tap's own log.",
            ) from None
        return parsed

    def _parse_timestamps_in_record(self, **_: Any) -> None:
        """Times are written as they came; the SDK would cut nanoseconds, and fail at years that Python lacks."""

    def _singer_validate_message(self, record: dict[str, Any]) -> None:
        missing = [key for key in self.key_properties if key not in record]
        if missing:
            raise MissingKeyError(f"A record of {self.stream_name} has no {', '.join(missing)}, which is its key.")

    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:
        """A record that waits for its batch."""
        super().process_record(record, context)
        context["bytes"] += self._reader.size

    def clean_up(self) -> None:
        """Say the last counts."""
        super().clean_up()
        self._volume.exit()

    def process_batch(self, context: dict[str, Any]) -> None:
        """Append all records and have them on disk before anything says so. Raises DestinationError."""
        path = Path(self.config["destination_path"]) / file_name(self.stream_name)
        lines = (simplejson.dumps(record, use_decimal=True, default=_written) + "\n" for record in context["records"])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            append(path, lines)
        except OSError as error:
            raise DestinationError(
                f"{path} cannot be written: {error.strerror}.",
                hint="Make room, or mend what is in the way, then sync again: it goes on from what is written.",
            ) from error
        self._volume.increment(context.get("bytes", 0))  # none came by a line: the SDK has read them from a file


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


class TargetJsonl(Target):  # type: ignore[misc]  # the SDK's types are not followed
    """Writes a file of JSON Lines per stream."""

    name = "target-jsonl"
    config_jsonschema = th.PropertiesList(
        th.Property(
            "destination_path",
            th.StringType,
            required=True,
            title="Folder",
            description="Folder for the files, one per stream; made where it is missing.",
        ),
    ).to_dict()
    default_sink_class = JsonlSink
    message_reader_class = LineReader

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_parallelism = 1  # one after the other: a signal then ends what is being written, too

    def _handle_termination(self, signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG002 - the SDK's signature
        """Stop at once: the SDK would say a STATE of the batch that is being written, which then does not stay."""
        log.info("Stopped by %s.", signal.Signals(signum).name)
        sys.exit(128 + signum)

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The SDK's command, with our ending."""
        return TargetCommand.like(super().get_singer_command(), cls.logger)


if __name__ == "__main__":
    TargetJsonl.cli()
