"""`orchestrator health`, and where else health is shown."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Ended, Trouble
from orchestrator.domains.schedules import service as schedules
from orchestrator.domains.schedules.types import Policy, Timing
from orchestrator.kernel.db import Role
from orchestrator.kernel.settings import HealthSettings

MENDABLE = Trouble(message="Token revoked.", hint="Make a new one.", needs_a_person=True)


@pytest.fixture
def disabled(drivers, ready):
    """An integration that failed until it was disabled, with a schedule that goes on."""
    made = integrations.connect(drivers, ready)
    schedules.add(drivers, made, Timing(every=timedelta(hours=1)), Policy())
    for _ in range(2):
        with drivers.db.transaction(made.org_id, role=Role.WORKER) as tx:
            integrations.note_run(tx, HealthSettings(disable_after=2), org_id=made.org_id, integration_id=made.id,
                                  ended=Ended.FAILED, trouble=MENDABLE)  # fmt: skip
    return made


def test_without_any_there_is_nothing_to_say(command):
    answer = command("health")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "Nothing is connected yet. See what can be: orchestrator connectors list\n"


def test_where_all_is_well_it_says_so(command, drivers, ready):
    integrations.connect(drivers, ready)
    answer = command("health")
    assert (answer.code, answer.out) == (0, "")
    assert "Nothing needs attention." in answer.err
    assert "● unknown" in command("health", "--all").out


def test_what_was_disabled_comes_with_its_cure_and_exits_8(command, disabled):
    answer = command("health")
    assert answer.code == 8
    assert "× disabled by failures" in answer.out
    assert "orchestrator integrations enable 'Our code'" in answer.out
    [document] = command("health", "--json").json
    assert document["attention"]["cause"] == "disabled_by_failures"
    assert document["failures"] == 2


def test_its_schedules_say_why_they_start_nothing(command, disabled):
    assert "integration disabled by failures" in command("schedules", "list").out
    assert "integration disabled by failures" in command("schedules", "show", "Our code").out
    [document] = command("schedules", "list", "--json").json
    assert document["hindered_by"] == "integration disabled by failures"


def test_the_list_and_the_integration_itself_say_it_too(command, disabled):
    assert "⚠ disabled by failures" in command("integrations", "list").out
    shown = command("integrations", "show", "Our code").out
    for line in ("Token revoked.", "Make a new one.", "failed in a row", "last success"):
        assert line in shown
    document = command("integrations", "show", "Our code", "--json").json
    assert (document["failures"], document["trouble"]["needs_a_person"]) == (2, True)


def test_enabled_again_it_starts_anew(command, disabled):
    assert command("integrations", "enable", "Our code").code == 0
    assert command("health").code == 0
    assert "integration disabled" not in command("schedules", "list").out


def test_a_schedule_nobody_keeps_makes_it_late(command, drivers, ready):
    made = integrations.connect(drivers, ready)
    schedules.add(drivers, made, Timing(every=timedelta(hours=1)), Policy())
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.schedules SET created_at = now() - interval '5 hours'"))
    answer = command("health")
    assert answer.code == 8
    assert "⚠ late" in answer.out
    assert "No worker runs: orchestrator worker" in answer.out


@pytest.mark.parametrize(
    ("option", "value", "stored"),
    [
        ("--check-every", "30m", 1800.0),
        ("--check-every", "off", 0.0),
        ("--check-every", "default", None),
        ("--disable-after", "5", 5),
        ("--disable-after", "off", 0),
        ("--disable-after", "default", None),
    ],
)
def test_each_integration_may_be_watched_in_its_own_way(command, ready, option, value, stored):
    for given in ("7h" if option == "--check-every" else "7", value):
        assert command("integrations", "edit", "Our code", option, given).code == 0
    found = command("integrations", "show", "Our code", "--json").json
    assert found[option.removeprefix("--").replace("-", "_")] == stored


@pytest.mark.parametrize(
    "arguments",
    [("--check-every", "soon"), ("--disable-after", "1"), ("--disable-after", "x"), ("--disable-after", "99999")],
)
def test_a_way_of_watching_that_makes_no_sense_is_refused(command, ready, arguments):
    answer = command("integrations", "edit", "Our code", *arguments)
    assert answer.code == 2
    assert "or off, or default" in answer.err
