"""An integration is not deleted under a run; once that has ended, it is."""

import threading
from time import sleep

import pytest
from sqlalchemy import text

from orchestrator.domains.integrations import queries
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.errors import IntegrationBusyError, UnknownIntegrationError
from orchestrator.domains.integrations.types import NewIntegration
from orchestrator.domains.runs import service
from orchestrator.domains.runs.types import RunRequest
from tests.fixtures.drivers import GITHUB


@pytest.mark.parametrize("how", [service.request, service.submit])
def test_one_with_a_run_under_way_is_not_deleted_until_that_ended(command, drivers, ready, how):
    run = how(drivers, ready)
    answer = command("integrations", "delete", "Our code", "--forget-secrets", "--yes")
    assert answer.code == 5
    assert f"orchestrator runs cancel {run.id}" in answer.err
    assert integrations.public(drivers, ready)["auth"]["token"]["set"] is True
    assert command("runs", "cancel", run.id).code == 0
    assert command("integrations", "delete", "Our code", "--yes").code == 0
    assert command("integrations", "list", "--json").json == []


@pytest.mark.parametrize("how", [service.request, service.submit])
def test_a_run_that_is_asked_for_while_it_is_being_deleted_is_refused_and_never_there(drivers, ready, how, monkeypatch):
    """The look at it comes before the deletion, the insertion waits for it and comes after."""
    answers = []

    def ask():
        with pytest.raises(UnknownIntegrationError) as refused:
            how(drivers, ready)
        answers.append(refused.value.code)

    asking = threading.Thread(target=ask)
    deleted = queries.mark_deleted

    def slowly(tx, integration_id):
        deleted(tx, integration_id)
        asking.start()
        wait_for_somebody_who_waits(drivers)

    monkeypatch.setattr(queries, "mark_deleted", slowly)
    integrations.delete(drivers, ready)
    asking.join(60)
    assert answers == ["unknown_integration"]
    assert service.listing(drivers, ready.org_id) == []


def test_of_many_that_are_queued_at_once_those_of_deleted_integrations_are_left_out(drivers, place, ready):
    gone = integrations.add(drivers, place, NewIntegration(type="github", name="Gone", values=GITHUB))
    integrations.delete(drivers, gone)
    wanted = [
        RunRequest(org_id=ready.org_id, integration_id=one.id, provider="github", trigger="t") for one in (gone, ready)
    ]
    with drivers.db.transaction(ready.org_id) as tx:
        made = service.enqueue(drivers, tx, wanted)
    assert (made[gone.id], made[ready.id].integration_id) == (None, ready.id)


def wait_for_somebody_who_waits(drivers):
    here = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    for _ in range(200):
        with drivers.db.connection() as connection:
            if connection.scalar(text(here)):
                return
        sleep(0.05)
    pytest.fail("nobody waits for the deletion")


def test_while_it_is_at_work_it_is_not_deleted(drivers, ready, meltano):
    refused = threading.Event()

    def delete(_):
        with pytest.raises(IntegrationBusyError):
            integrations.delete(drivers, ready)
        refused.set()

    meltano.act = delete
    service.execute(drivers, ready, service.request(drivers, ready))
    assert refused.is_set()
