"""No secret leaves the vault: not into logs, the database, other processes, files that stay, or what is printed."""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
from sqlalchemy import text

from orchestrator.domains.integrations.types import Integration
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.db import SCHEMA
from sandboxes.salesforce import LocalOrg
from tests.e2e.conftest import values_of
from tests.e2e.installation import Installation, eventually, kind_of

VAULT = {"vault_data_keys", "vault_secrets"}
BOUNDED = 120 * 1024 * 1024  # bytes


class Watch:
    """What every process of a run showed to others, and how much memory the command took."""

    def __init__(self) -> None:
        self.arguments: set[str] = set()
        self.environments: dict[str, set[str]] = {}
        self.memory = 0

    def look(self, installation: Installation, pid: int) -> None:
        with suppress(psutil.Error):
            self.memory = max(self.memory, psutil.Process(pid).memory_info().rss)
        for one, kind in {**installation.processes(), pid: "command"}.items():
            with suppress(psutil.Error):
                process = psutil.Process(one)
                self.arguments.update(process.cmdline())
                values = process.environ().values()
                if kind in {"command", kind_of(process)}:  # it has not become the launcher, whose secrets are its own
                    self.environments.setdefault(kind, set()).update(values)


@contextmanager
def watching(installation: Installation, pid: int) -> Iterator[Watch]:
    """Look again and again while the block lasts."""
    watch, over = Watch(), threading.Event()

    def run() -> None:
        while not over.wait(0.05):
            watch.look(installation, pid)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


@pytest.fixture
def own_org() -> Iterator[LocalOrg]:
    """An org that gives out a new refresh token each time."""
    with LocalOrg(
        counts={"Account": 2_500, "User": 3}, rotate_refresh_tokens=True, random_credentials=True, job_seconds=2.0
    ) as made:
        yield made


def everything_stored(drivers: Drivers) -> str:
    """All rows of the control plane outside the vault."""
    with drivers.db.connection() as connection:
        tables = connection.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = :schema"), {"schema": SCHEMA}
        ).all()
        assert set(tables) >= VAULT, tables
        return "\n".join(
            row
            for table in tables
            if table not in VAULT
            for row in connection.scalars(text(f"SELECT t::text FROM {SCHEMA}.{table} t"))
        )


def test_no_secret_is_seen_anywhere_during_and_after_a_run(
    installation: Installation, own_org: LocalOrg, like: Integration, record_testsuite_property: Callable[..., None]
) -> None:
    made = installation.add(f"secrets {secrets.token_hex(3)}", values_of(own_org), ["Account"], like=like)
    running = installation.start("sync", made.id)
    with watching(installation, running.pid) as watch:
        asked = own_org.stats.shown
        eventually(lambda: any("jobs/query/" in request for request in asked()["requests"]), "a job under way")
        sessions = set(own_org.signin._sessions)
        own_org.revoke_sessions()
        done = running.end()
    assert done.code == 0, done.err
    again = installation.run("sync", made.id, "--json")
    logs = installation.run("runs", "logs", installation.latest(made).id)
    with installation.drivers() as drivers:
        database = {drivers.warehouse_url.get_secret_value(), installation.home.joinpath("master.key").read_text()}
        stored = everything_stored(drivers)
        server_log = drivers.postgres.status().log.read_text(errors="replace")

    app = own_org.app.credentials()
    lasting = {app["client_secret"], *own_org.signin._refresh, app["refresh_token"]}
    sessions |= set(own_org.signin._sessions)
    assert len(sessions) >= 2
    secret = {part for one in (*lasting, *sessions, *database) for part in one.split() if len(part) >= 8}
    shown = {
        "stdout and stderr": done.out + done.err + again.out + again.err,
        "the run's log": logs.out,
        "the database": stored,
        "Postgres' log": server_log,
        "arguments of processes": "\n".join(watch.arguments),
        "Meltano's environment": "\n".join(watch.environments["meltano"]),
        "the command's environment": "\n".join(watch.environments["command"]),
        "the tap's environment": "\n".join(watch.environments["tap"]),
        "the target's environment": "\n".join(watch.environments["target"]),
    }
    found = {where for where, said in shown.items() if any(one in said for one in secret)}
    assert not found
    assert str(installation.home) in watch.environments["command"], "this look would not see a secret"
    assert set(watch.environments) >= {"meltano", "tap", "target", "supervisor", "command"}
    installation.assert_nothing_left()
    record_testsuite_property("memory of the command", f"{watch.memory / 1e6:.0f} MB")
    assert watch.memory < BOUNDED, f"{watch.memory:,} bytes"
