"""Loaders on their first load of a table, batch by batch, and what shows of it."""

import json
import signal
import subprocess

from copydesk import Warehouse, record, schema, state

TEXT = {"type": ["string", "null"]}
PEOPLE = schema("T", Name=TEXT)


def people(name: str, *keys: int) -> list[dict]:
    return [record("T", Id=str(key), Name=name) for key in keys]


class Run:
    """A loader that is given one batch after the other, each committed before the next."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process
        self.tell(PEOPLE)

    def tell(self, *messages: dict) -> None:
        self.process.stdin.write("".join(json.dumps(message) + "\n" for message in messages))
        self.process.stdin.flush()

    def batch(self, message: dict) -> None:
        self.tell(message, state(message["manifest"]))
        assert json.loads(self.process.stdout.readline()) == message["manifest"]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def key(warehouse: Warehouse, table: str = "T") -> str | None:
    """The primary key as Postgres defines it."""
    made = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND conrelid = %s::regclass"
    found = warehouse.connection.execute(made, (f'"{warehouse.schema}"."{table}"',)).fetchone()
    return found[0] if found else None


def comment(warehouse: Warehouse) -> str | None:
    made = "SELECT obj_description(%s::regclass, 'pg_class')"
    return warehouse.connection.execute(made, (f'"{warehouse.schema}"."T"',)).fetchone()[0]


def identity(warehouse: Warehouse) -> str:
    made = "SELECT relreplident::text FROM pg_class WHERE oid = %s::regclass"
    return warehouse.connection.execute(made, (f'"{warehouse.schema}"."T"',)).fetchone()[0]


def options(warehouse: Warehouse) -> tuple[list[str] | None, list[str] | None]:
    """Storage parameters of the table, and of what holds its large values."""
    made = "SELECT c.reloptions, t.reloptions FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid"
    made += " WHERE c.oid = %s::regclass"
    return warehouse.connection.execute(made, (f'"{warehouse.schema}"."T"',)).fetchone()


def is_whole(warehouse: Warehouse) -> bool:
    """Nothing shows that there was a first load."""
    shown = key(warehouse), comment(warehouse), identity(warehouse), options(warehouse)
    return shown == ('PRIMARY KEY ("Id")', None, "d", (None, None))


def found(warehouse: Warehouse) -> list[tuple]:
    return warehouse.rows("T", "Id", "Name")
