"""The target and its one kind of sink."""

import io
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

import simplejson  # type: ignore[import-untyped]  # its stubs are a package of their own
from singer_sdk import BatchSink, Target, metrics
from singer_sdk import typing as th
from singer_sdk.io_base import SingerReader


def file_name(stream: str) -> str:
    """A name without a path in it, one per stream; quoting leaves dots alone, so a leading one is quoted here."""
    name = quote(stream, safe="")
    return f"{'%2E' + name[1:] if name.startswith('.') else name}.jsonl"


def _written(value: object) -> str:
    """Times as ISO 8601: the SDK has parsed them."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _append(path: Path, lines: Iterable[str]) -> None:
    """All lines on disk, or none: half a line would spoil the one that is appended next."""
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            with io.TextIOWrapper(io.BufferedWriter(file), encoding="utf-8", newline="\n") as text:
                text.writelines(lines)
                text.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                os.truncate(path, before)
            raise


class Measure(StrEnum):
    """What is counted besides what the SDK counts. BYTES: of the RECORD lines whose records are on disk."""

    BYTES = "byte_count"


class LineReader(SingerReader):  # type: ignore[misc]  # the SDK's types are not followed
    """The SDK's reader, which is asked for the size of lines."""

    @property
    def size(self) -> int:
        """Bytes of the line that is being handled, without its end."""
        line: str = self._current_message
        return len(line if line.isascii() else line.encode(errors="replace")) - line.endswith("\n")


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

    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:
        """A record that waits for its batch."""
        super().process_record(record, context)
        context["bytes"] += self._reader.size

    def clean_up(self) -> None:
        """Say the last counts."""
        super().clean_up()
        self._volume.exit()

    def process_batch(self, context: dict[str, Any]) -> None:
        """Append all records and have them on disk before anything says so; where that fails, say why and end."""
        path = Path(self.config["destination_path"]) / file_name(self.stream_name)
        lines = (simplejson.dumps(record, use_decimal=True, default=_written) + "\n" for record in context["records"])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _append(path, lines)
        except OSError as error:
            told = {
                "kind": "destination_error",
                "origin": "destination",
                "message": f"{path} cannot be written: {error.strerror}.",
                "hint": "Make room, or mend what is in the way, then sync again: it goes on from what is written.",
                "retryable": False,
            }
            self.logger.error("FAILURE: %s", simplejson.dumps(told))  # noqa: TRY400 - the traceback would tell nothing
            sys.exit(1)
        self._volume.increment(context.get("bytes", 0))  # none came by a line: the SDK has read them from a file


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


if __name__ == "__main__":
    TargetJsonl.cli()
