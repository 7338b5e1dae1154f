"""What the tests of this target share: messages, batch files, the command, and a look into the file."""

import gzip
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

Message = dict[str, Any] | str


def lines(messages: Iterable[Message]) -> list[str]:
    return [message if isinstance(message, str) else json.dumps(message) for message in messages]


@dataclass(frozen=True)
class Ended:
    code: int
    states: list[Any]
    log: str

    @property
    def failure(self) -> dict[str, Any]:
        return json.loads(self.log.split("FAILURE: ")[-1].splitlines()[0])


class Desk:
    """One file, its settings, and somebody who looks at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "data" / "it's one.duckdb"
        self.batches = folder / "batches ü"
        self.batches.mkdir()

    def config(self, **changes: Any) -> dict[str, Any]:
        storage = {"storage": {"root": self.batches.as_uri()}}
        return {"path": str(self.path), "default_target_schema": "crm", "batch_config": storage, **changes}

    def sql(self, statement: str) -> list[tuple]:
        with duckdb.connect(self.path, read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(statement).fetchall()

    def rows(self, table: str, *columns: str) -> list[tuple]:
        names = ", ".join(f'"{column}"' for column in columns)
        return self.sql(f'SELECT {names} FROM crm."{table}" ORDER BY ALL')

    def types(self, table: str) -> dict[str, str]:
        found = self.sql(f"SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{table}'")
        return {name: type_ for name, type_ in found if not name.startswith("_sdc")}

    def change(self, statement: str) -> None:
        self.path.parent.mkdir(exist_ok=True)
        with duckdb.connect(self.path) as connection:
            connection.execute(statement)

    # ---- the command

    def start(self, **changes: Any) -> subprocess.Popen:
        config = self.folder / "config.json"
        config.write_text(json.dumps(self.config(**changes)))
        return subprocess.Popen(
            [sys.executable, "-m", "target_duckdb", "--config", str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(self.folder)},
        )

    def run(self, *messages: Message, **changes: Any) -> Ended:
        process = self.start(**changes)
        out, log = process.communicate("".join(f"{line}\n" for line in lines(messages)))
        return Ended(process.returncode, [json.loads(line) for line in out.splitlines()], log)

    # ---- batch files

    def csv(self, stream: str, *contents: bytes | str, packed: bool = True, **facts: Any) -> dict[str, Any]:
        files = [content.encode() if isinstance(content, str) else content for content in contents]
        return self.batch(stream, "csv", files, packed=packed, **facts)

    def jsonl(self, stream: str, *texts: str, packed: bool = True, **facts: Any) -> dict[str, Any]:
        return self.batch(stream, "jsonl", ["\n".join(texts).encode()], packed=packed, **facts)

    def batch(self, stream: str, form: str, files: list[bytes], *, packed: bool, **facts: Any) -> dict[str, Any]:
        manifest = []
        for content in files:
            path = self.batches / f"{uuid.uuid4().hex} it's"
            path.write_bytes(gzip.compress(content, 1) if packed else content)
            manifest.append(path.as_uri())
        encoding = {"format": form, "compression": "gzip" if packed else "none"}
        return {"type": "BATCH", "stream": stream, "encoding": encoding, "manifest": manifest, **facts}

    def left(self) -> list[Path]:
        return list(self.batches.iterdir())


Load = Callable[..., list[Any]]


def schema(stream: str, keys: Sequence[str] = ("Id",), **properties: Any) -> dict[str, Any]:
    named = {"Id": {"type": "string"}} | properties if "Id" in keys else properties
    return {"type": "SCHEMA", "stream": stream, "key_properties": list(keys), "schema": {"properties": named}}


def record(stream: str, /, **values: Any) -> dict[str, Any]:
    return {"type": "RECORD", "stream": stream, "record": values}


def state(value: Any) -> dict[str, Any]:
    return {"type": "STATE", "value": value}
