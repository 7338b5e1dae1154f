"""What the tests of this target share: messages, batch files, the command, and a look into the database."""

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

import psycopg
from psycopg import sql

Load = Callable[..., list[Any]]


class Warehouse:
    """The database as somebody who looks at it, and one schema in it for this test."""

    def __init__(self, url: str, connection: psycopg.Connection, schema: str) -> None:
        self.url = url
        self.connection = connection
        self.schema = schema

    def run(self, statement: str, *values: object) -> list[tuple]:
        """A statement in which {} is the schema."""
        made = sql.SQL(statement).format(sql.Identifier(self.schema))
        cursor = self.connection.execute(made, values or None)
        return cursor.fetchall() if cursor.description else []

    def rows(self, table: str, *columns: str) -> list[tuple]:
        """These columns of all rows, in order."""
        made = sql.SQL("SELECT {} FROM {} ORDER BY 1").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(self.schema, table)
        )
        return self.connection.execute(made).fetchall()

    def count(self, table: str) -> int:
        made = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(self.schema, table))
        return self.connection.execute(made).fetchone()[0]

    def types(self, table: str) -> dict[str, str]:
        rows = self.connection.execute(
            "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c"
            " ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            (self.schema, table),
        )
        return dict(rows.fetchall())

    def tables(self) -> list[str]:
        rows = self.connection.execute("SELECT relname::text FROM pg_class c JOIN pg_namespace n ON"
            " n.oid = c.relnamespace WHERE n.nspname = %s AND relkind IN ('r','v') ORDER BY 1", (self.schema,))  # fmt: skip
        return [name for (name,) in rows.fetchall()]


def config(warehouse: Warehouse, **changes: Any) -> dict[str, Any]:
    return {"sqlalchemy_url": warehouse.url, "default_target_schema": warehouse.schema, **changes}


def lines(messages: Iterable[dict[str, Any] | str]) -> list[str]:
    return [message if isinstance(message, str) else json.dumps(message) for message in messages]


@dataclass
class Ended:
    code: int
    states: list[Any]
    log: str

    @property
    def failure(self) -> dict[str, Any]:
        return json.loads(self.log.split("FAILURE: ")[-1].splitlines()[0])


def start(folder: Path, settings: dict[str, Any], **environment: str) -> subprocess.Popen:
    """The command as Meltano starts it, waiting for messages."""
    path = folder / "config.json"
    path.write_text(json.dumps(settings))
    return subprocess.Popen(
        [sys.executable, "-m", "target_postgres_copy", "--config", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def ended(process: subprocess.Popen, *messages: dict[str, Any] | str) -> Ended:
    out, log = process.communicate("".join(f"{line}\n" for line in lines(messages)))
    return Ended(process.returncode, [json.loads(line) for line in out.splitlines()], log)


def schema(stream: str, keys: Sequence[str] = ("Id",), **properties: Any) -> dict[str, Any]:
    named = {"Id": {"type": "string"}} | properties if "Id" in keys else properties
    return {"type": "SCHEMA", "stream": stream, "key_properties": list(keys), "schema": {"properties": named}}


def record(stream: str, /, **values: Any) -> dict[str, Any]:
    return {"type": "RECORD", "stream": stream, "record": values}


def state(value: Any) -> dict[str, Any]:
    return {"type": "STATE", "value": value}


class Batches:
    """Writes batch files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def csv(self, stream: str, *contents: bytes | str, packed: bool = True, **facts: Any) -> dict[str, Any]:
        files = [content.encode() if isinstance(content, str) else content for content in contents]
        return self.message(stream, "csv", files, packed=packed, **facts)

    def jsonl(self, stream: str, *records: dict[str, Any], packed: bool = True, **facts: Any) -> dict[str, Any]:
        content = "".join(json.dumps(record) + "\n" for record in records).encode()
        return self.message(stream, "jsonl", [content], packed=packed, **facts)

    def message(self, stream: str, form: str, files: list[bytes], *, packed: bool, **facts: Any) -> dict[str, Any]:
        manifest = []
        for content in files:
            path = self.folder / f"{uuid.uuid4().hex} ü"
            path.write_bytes(gzip.compress(content, 1) if packed else content)
            manifest.append(path.as_uri())
        encoding = {"format": form, "compression": "gzip" if packed else "none"}
        return {"type": "BATCH", "stream": stream, "encoding": encoding, "manifest": manifest, **facts}
