"""A real Postgres, and runs of the target whose tables can be looked at."""

import json
import logging
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

sys.path.insert(0, str(Path(__file__).parent))  # for copydesk: tests are no package

from copydesk import Batches, Load, Warehouse, config, lines, start
from firstload import Run

from orchestrator.drivers.embedded_postgres import EmbeddedPostgres, ServerAddress
from target_postgres_copy.target import TargetPostgresCopy


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerAddress]:
    """A Postgres of this session's own."""
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    try:
        yield postgres.start()
    finally:
        postgres.close()
        postgres.stop_if_unused()


@pytest.fixture(scope="session")
def url(server: ServerAddress) -> str:
    """Address of its warehouse."""
    return server.url("warehouse").get_secret_value()


@pytest.fixture(scope="session")
def administrator(server: ServerAddress) -> Iterator[psycopg.Connection]:
    """Somebody who may make users."""
    secret = server.password.get_secret_value()
    with psycopg.connect(
        host=server.host, port=server.port, user=server.user, password=secret, dbname="warehouse", autocommit=True
    ) as connection:
        yield connection


@pytest.fixture(scope="session")
def _connection(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SET timezone = 'UTC'; SET lock_timeout = '60s'")  # who is kept out says so
        yield connection


@pytest.fixture
def warehouse(url: str, _connection: psycopg.Connection) -> Iterator[Warehouse]:
    schema = f"t{uuid.uuid4().hex[:12]}"
    yield Warehouse(url, _connection, schema)
    _connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """The SDK installs signal handlers in every target, and its command line more than that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hook, handlers = sys.excepthook, list(logging.getLogger().handlers)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.excepthook = hook
    for handler in set(logging.getLogger().handlers) - set(handlers):
        logging.getLogger().removeHandler(handler)


@pytest.fixture
def load(warehouse: Warehouse, capsys: pytest.CaptureFixture[str]) -> Load:
    """Load messages in this process; the STATEs said, also in `load.said` if it fails."""

    def loaded(*messages: dict[str, Any] | str, **changes: Any) -> list[Any]:
        capsys.readouterr()
        target = TargetPostgresCopy(config=config(warehouse, **changes))
        loaded.target = target
        try:
            target.listen(iter(lines(messages)))
        finally:
            loaded.said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return loaded.said

    return loaded


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    folder = tmp_path / "batches"
    folder.mkdir()
    return Batches(folder)


@pytest.fixture
def begun(warehouse: Warehouse, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts loaders."""
    runs: list[Run] = []

    def begin(**changes: Any) -> Run:
        folder = tmp_path / str(len(runs))
        folder.mkdir()
        runs.append(Run(start(folder, config(warehouse, **changes))))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.kill()


@pytest.fixture
def names(batches: Batches) -> Callable[..., dict]:
    """A batch of people with one name."""
    return lambda name, *keys: batches.csv("T", "Id,Name\n" + "".join(f"{key},{name}\n" for key in keys))
