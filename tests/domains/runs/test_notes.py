"""What a loader notes in one run, it is given in the next."""

import pytest
from sqlalchemy import text

from orchestrator.domains.runs import queries
from orchestrator.domains.runs.errors import LeaseLostError
from orchestrator.domains.runs.types import RunKind
from orchestrator.drivers.meltano.values import NOTES_FILE
from orchestrator.kernel.db import Role
from tests.domains.runs.syncs import synced


def kept(drivers, integration):
    with drivers.db.transaction(integration.org_id, role=Role.WORKER) as tx:
        return queries.loader_notes(tx, integration.id)


@pytest.fixture
def noted(drivers, ready, all_well):
    """A sync whose loader noted something."""
    all_well.notes = '{"columns": {"users": ["id", "n\u00e4me"]}}'
    synced(drivers, ready)
    return all_well.notes


def test_the_next_run_is_given_what_the_loader_noted(drivers, ready, all_well, noted):
    assert all_well.ran[-1].notes is None
    assert all_well.ran[-1].loader.config["notes_file"] is NOTES_FILE
    all_well.notes = "more"
    synced(drivers, ready)
    assert all_well.ran[-1].notes == noted
    assert kept(drivers, ready) == "more"


def test_a_loader_that_leaves_nothing_loses_nothing(drivers, ready, all_well, noted):
    all_well.notes = None
    synced(drivers, ready)
    assert kept(drivers, ready) == noted


def test_a_dry_run_neither_sees_nor_changes_them_since_it_loads_elsewhere(drivers, ready, all_well, noted):
    all_well.notes = "of the scratch schema"
    synced(drivers, ready, kind=RunKind.DRY_RUN)
    assert all_well.ran[-1].notes is None
    assert kept(drivers, ready) == noted


def test_who_lost_its_run_to_another_worker_keeps_nothing(drivers, ready, all_well, noted):
    def taken_over(_):
        with drivers.db.transaction(ready.org_id, role=Role.WORKER) as tx:
            tx.execute(text("UPDATE orchestrator.runs SET epoch = epoch + 1 WHERE status = 'running'"))

    all_well.notes, all_well.act, all_well.states = "late", taken_over, []
    with pytest.raises(LeaseLostError):
        synced(drivers, ready)
    assert kept(drivers, ready) == noted
