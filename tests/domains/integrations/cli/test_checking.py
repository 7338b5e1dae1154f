"""`orchestrator test`."""

import pytest

from orchestrator.domains.integrations import service
from orchestrator.domains.integrations.types import NewIntegration
from tests.fixtures.drivers import USERS


@pytest.fixture
def crm(drivers, place, salesforce_fields, meltano):
    meltano.catalog = {"streams": [USERS]}
    return service.add(drivers, place, NewIntegration(type="salesforce", name="CRM", values=salesforce_fields))


def test_every_check_is_named_with_its_end(command, crm):
    answer = command("test", "CRM")
    assert answer.code == 0
    marks = [line.split(" ", 3)[2:] for line in answer.err.splitlines() if line.startswith("  ") and line[2] in "✓×–"]
    assert [mark for mark, _ in marks] == ["✓"] * 4
    assert "Read a record of users." in answer.err


def test_a_draft_that_passes_is_connected(command, crm, drivers, place):
    assert "CRM is connected." in command("test", "CRM").err
    assert service.find(drivers, place.org_id, "CRM").setup_state.value == "connected"
    assert "is connected" not in command("test", "CRM").err


def test_the_plugin_that_fails_fails_the_test_with_its_own_words(command, crm, meltano):
    meltano.first_stream, meltano.code, meltano.error = None, 1, "INSUFFICIENT_ACCESS on User"
    answer = command("test", "CRM", "--json")
    assert answer.code == 7
    last = answer.json[-1]
    assert (last["name"], last["verdict"]) == ("first_record", "failed")
    assert "INSUFFICIENT_ACCESS on User" in last["message"]
    assert "INSUFFICIENT_ACCESS on User" in answer.err


def test_an_unreachable_host_fails_the_first_check_and_skips_the_rest(command, crm, drivers, salesforce_fields):
    service.edit(drivers, crm, {**salesforce_fields, "domain": "http://127.0.0.1:9"})
    answer = command("test", "CRM", "--json")
    assert answer.code == 7
    assert [check["verdict"] for check in answer.json] == ["failed", "skipped", "skipped", "skipped"]
    people = command("test", "CRM")
    assert "× Reach Salesforce" in people.err
    assert "– Sign in" in people.err
