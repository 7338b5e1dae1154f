"""Dry runs: each loads into a scratch schema, which goes with it, unless it is to be kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.errors import UnknownIntegrationError
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import queries
from orchestrator.domains.runs.errors import NothingKeptError, RunUnendedError
from orchestrator.domains.runs.service.pausing import refuse_unconfirmed
from orchestrator.domains.runs.types import Run, RunKind
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.scratch import SchemaTakenError
from orchestrator.kernel.db import Role
from orchestrator.kernel.errors import OrchestratorError


@contextmanager
def scratch(drivers: Drivers, integration: Integration, run: Run, *, lost: Callable[[], bool]) -> Iterator[str | None]:
    """A dry run's schema, made empty and dropped in the end unless it is to be kept; None for other kinds.

    The run says that it is there before it is, so that one whose worker died is found. Where dropping fails, the next
    dry run or `clear` does it.
    lost:  whether another worker has taken the run over, and the schema with it
    """
    if run.kind is not RunKind.DRY_RUN:
        yield None
        return
    name = integrations.scratch_schema(drivers, integration)
    _note(drivers, run, name)
    try:
        integrations.make_scratch(drivers, integration)
        yield name
    except SchemaTakenError:
        _note(drivers, run, None)
        raise
    finally:
        if not run.keep_scratch and not lost():
            with suppress(OrchestratorError):
                _drop(drivers, integration, run)


def discard(drivers: Drivers, run: Run) -> None:
    """Drop the schema that a dry run kept.

    Raises NothingKeptError, RunUnendedError, UnconfirmedDatabaseError and what dropping raises.
    """
    refuse_unconfirmed(drivers)
    if not run.status.ended:
        raise RunUnendedError(run)
    if run.scratch_schema is None:
        raise NothingKeptError(run.id)
    _drop(drivers, _integration(drivers, run), run)


def clear(drivers: Drivers, org_id: str, *, keep: timedelta) -> int:
    """Drop the schemas of ended dry runs: what was kept after `keep`, all else now; answers how many went.

    One that can't be dropped now stays for the next time.
    """
    with drivers.db.transaction(org_id) as tx:
        left = queries.scratches(tx, keep=keep)
    gone = 0
    for run in left:
        with suppress(OrchestratorError):
            _drop(drivers, _integration(drivers, run), run)
            gone += 1
    return gone


def _integration(drivers: Drivers, run: Run) -> Integration:
    try:
        return integrations.find(drivers, run.org_id, run.integration_id)
    except UnknownIntegrationError:
        return integrations.find(drivers, run.org_id, run.integration_id, deleted=True)


def _drop(drivers: Drivers, integration: Integration, run: Run) -> None:
    integrations.drop_scratch(drivers, integration)
    _note(drivers, run, None)


def _note(drivers: Drivers, run: Run, schema: str | None) -> None:
    with drivers.db.transaction(run.org_id, role=Role.WORKER) as tx:
        queries.note_scratch(tx, run, schema)
