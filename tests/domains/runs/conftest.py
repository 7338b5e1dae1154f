"""What tests of runs lean on: workers that are there, were killed, or have many lines to work off; a sync that goes well."""

import pytest

from orchestrator.domains.runs import queries
from orchestrator.drivers.liveness import WorkerMark
from orchestrator.drivers.meltano.output import Source
from orchestrator.kernel.db import Role
from orchestrator.kernel.settings import RunSettings
from tests.domains.runs.lines import Lines, join
from tests.domains.runs.syncs import MARCH
from tests.fakes.meltano import counted, said, singer_state
from tests.fixtures.drivers import as_killed


@pytest.fixture
def killed(drivers):
    """A worker of this machine that a SIGKILL ended, and that is listed as if it lived."""
    mark = WorkerMark(drivers.workers_folder)
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        queries.register(tx, mark.name, host="here", pid=2, version="0", concurrency=4)
    as_killed(mark)
    return mark.name


@pytest.fixture
def unhurried(drivers):
    """Heartbeats as in production: those of other tests are over before a busy machine has looked twice."""
    drivers.settings = drivers.settings.model_copy(update={"runs": RunSettings()})


@pytest.fixture
def joined(drivers):
    join(drivers)


@pytest.fixture
def server_of_many(drivers):
    return Lines(drivers)


@pytest.fixture
def all_well(meltano):
    meltano.outputs = [
        said("reading users"),
        counted(Source.TAP, "users", 10),
        counted(Source.TAP, "users", 2, "deleted_count"),
        counted(Source.TARGET, "users", 10),
    ]
    meltano.states = [singer_state(users=MARCH)]
    return meltano
