"""An integration is not deleted under a run; once that has ended, it is."""

import threading

import pytest

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.errors import IntegrationBusyError
from orchestrator.domains.runs import service


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


def test_while_it_is_at_work_it_is_not_deleted(drivers, ready, meltano):
    refused = threading.Event()

    def delete(_):
        with pytest.raises(IntegrationBusyError):
            integrations.delete(drivers, ready)
        refused.set()

    meltano.act = delete
    service.execute(drivers, ready, service.request(drivers, ready))
    assert refused.is_set()
