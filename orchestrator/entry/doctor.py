"""What `doctor` looks at, each a finding with its cure."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrator.domains.catalog import service as connectors
from orchestrator.domains.identity import service as identity
from orchestrator.domains.vault import service as vault
from orchestrator.drivers import postgres_facts
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano.process import Isolation
from orchestrator.drivers.plugin_store import recipes
from orchestrator.kernel.db import DatabaseAwayError
from orchestrator.kernel.environment import project_root
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.migrations import runner

_LEAST_FREE = 1_000_000_000  # bytes
_ACCESS = "Let this user read and write there, or set ORCHESTRATOR_HOME to a folder of its own."


class State(StrEnum):
    """How bad a finding is."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


MARKS = {State.GOOD: "✓", State.NOTE: "–", State.BAD: "×"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at."""

    check: str
    state: State
    found: str
    fix: str = ""


def findings(drivers: Drivers) -> list[Finding]:
    """Everything a sync needs, in the order in which one thing depends on another."""
    looks: tuple[tuple[str, Callable[[Drivers], Iterator[Finding]]], ...] = (
        ("Python", _python),
        ("Home", _home),
        ("Control plane", _database),
        ("Schema", _schema),
        ("Warehouse", _warehouse),
        ("Master key", _keys),
        ("Connectors", _connectors),
        ("Plugins", _plugins),
        ("Disk", _disk),
        ("Isolation", _isolation),
    )
    found: list[Finding] = []
    for check, look in looks:
        try:
            found += look(drivers)
        except DatabaseAwayError as error:
            if any(one.found == error.message for one in found):
                found.append(Finding(check=check, state=State.NOTE, found="can't be looked at without that database"))
            else:
                fix = "Check that Postgres runs there, and that DATABASE_URL is right."
                found.append(Finding(check=check, state=State.BAD, found=error.message, fix=fix))
        except OrchestratorError as error:
            found.append(Finding(check=check, state=State.BAD, found=error.message, fix=error.hint))
        except OSError as error:
            found.append(
                Finding(check=check, state=State.BAD, found=f"{error.filename}: {error.strerror}", fix=_ACCESS)
            )
    return found


def _python(_drivers: Drivers) -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding(check="Python", state=State.GOOD, found=version)


def _home(drivers: Drivers) -> Iterator[Finding]:
    home = drivers.settings.home
    there = next((folder for folder in (home, *home.parents) if os.path.exists(folder)), Path("/"))  # noqa: PTH110 - raises nothing
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(check="Home", state=State.BAD, found=f"{home} can't be written to by this user.", fix=_ACCESS)
    else:
        made = "" if there == home else ", made by orchestrator init"
        yield Finding(check="Home", state=State.GOOD, found=f"{home}{made}")


def _database(drivers: Drivers) -> Iterator[Finding]:
    where = "embedded" if drivers.settings.database_url is None else "DATABASE_URL"
    version = postgres_facts.of(drivers.unchecked_db).version
    yield Finding(check="Control plane", state=State.GOOD, found=f"Postgres {version}, {where}")


def _schema(drivers: Drivers) -> Iterator[Finding]:
    with drivers.unchecked_db.connection() as connection:
        runner.check(connection)
    yield Finding(check="Schema", state=State.GOOD, found=f"revision {runner.head()}")


def _warehouse(drivers: Drivers) -> Iterator[Finding]:
    where = "embedded" if drivers.settings.warehouse_url is None else "WAREHOUSE_URL"
    try:
        facts = postgres_facts.at(drivers.warehouse_url)
    except DatabaseAwayError as error:
        yield Finding(
            check="Warehouse",
            state=State.BAD,
            found=f"It can't be reached: {error.reason}",
            fix="Check that it runs and that WAREHOUSE_URL is right.",
        )
        return
    if facts.may_create_schemas:
        yield Finding(check="Warehouse", state=State.GOOD, found=f"Postgres {facts.version}, {where}")
    else:
        yield Finding(
            check="Warehouse",
            state=State.BAD,
            found="The login may not create schemas there.",
            fix="GRANT CREATE ON DATABASE … TO the login of WAREHOUSE_URL.",
        )


def _keys(drivers: Drivers) -> Iterator[Finding]:
    current = drivers.keys.current
    place = identity.find(drivers.db, drivers.settings.organization)
    with drivers.db.transaction(place.org_id) as tx:
        uses = vault.status(tx, place.org_id)
    missing = sorted({use.master_key_id for use in uses} - {key.id for key in drivers.keys.keys})
    if missing:
        yield Finding(
            check="Master key",
            state=State.BAD,
            found=f"Secrets are locked by {', '.join(missing)}, which isn't here.",
            fix="Put that key back: INTEGRATION_ENCRYPTION_KEY, or a line of the key file.",
        )
    else:
        secrets = sum(use.secrets for use in uses)
        yield Finding(check="Master key", state=State.GOOD, found=f"{current}, opens {secrets} secrets")


def _connectors(_drivers: Drivers) -> Iterator[Finding]:
    catalog = connectors.installed()
    yield Finding(check="Connectors", state=State.GOOD, found=f"{len(catalog.connectors)} usable")
    for broken in catalog.broken:
        yield Finding(
            check="Connectors",
            state=State.BAD,
            found=f"{broken.file}: {'; '.join(broken.reasons)}",
            fix=f"Correct schemas/connectors/{broken.file}.",
        )


def _plugins(drivers: Drivers) -> Iterator[Finding]:
    status = drivers.plugins.status(recipes(project_root()))
    ready = sum(one.ready for one in status)
    waiting = len(status) - ready
    built = f"{ready} built" if ready else "none built yet"
    found = built + (f", {waiting} at first use, from the package index" if waiting else "")
    yield Finding(check="Plugins", state=State.GOOD, found=found)


def _disk(drivers: Drivers) -> Iterator[Finding]:
    for what, path in (("home", drivers.settings.home), ("runs", drivers.meltano.runs_root)):
        there = next(folder for folder in (path, *path.parents) if os.path.exists(folder))  # noqa: PTH110 - raises nothing
        free = shutil.disk_usage(there).free
        state = State.GOOD if free >= _LEAST_FREE else State.BAD
        fix = "" if state is State.GOOD else "Make room: a sync needs space for what is under way."
        yield Finding(check=f"Disk ({what})", state=state, found=f"{free / 1e9:.1f} GB free at {path}", fix=fix)


def _isolation(drivers: Drivers) -> Iterator[Finding]:
    if drivers.meltano.plugins_kept_apart():
        found = "each plugin reaches its own files alone: no secret of the other, of other runs or of ours (Landlock)"
        yield Finding(check="Plugins apart", state=State.GOOD, found=found)
    else:
        yield Finding(
            check="Plugins apart",
            state=State.NOTE,
            found="no Landlock here: a hostile plugin can read what this user can read, the other plugin's secrets too",
            fix="Run none you don't trust. Linux 5.13 or newer has it; it may be left out of the kernel's lsm= list.",
        )
    possible = drivers.meltano.possible_isolation()
    if possible is Isolation.NAMESPACE:
        found = "plugins run in namespaces of their own: they see no other run, and nothing outlives theirs"
        yield Finding(check="Processes", state=State.GOOD, found=found)
    else:
        yield Finding(
            check="Processes",
            state=State.NOTE,
            found="no namespaces here; plugins are ended by their process tree, see that other runs are there, and what"
            " they leave in shared memory of System V stays, uncounted",
            fix="Allow user namespaces to be sure that nothing outlives a run: sysctl user.max_user_namespaces.",
        )
    limits = drivers.settings.runs
    memory = limits.memory.human_readable(separator=" ")
    found = (
        f"a run takes at most {memory}, memory-backed files included, and {limits.processes:,} processes,"
        f" each with {limits.files:,} open files"
    )
    yield Finding(check="Limits", state=State.GOOD, found=found)
