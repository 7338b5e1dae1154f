"""How health follows from runs and checks, and what failures lead to."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import queries, rules, service
from orchestrator.domains.integrations.types import (
    Consequence,
    Ended,
    Health,
    HealthFacts,
    NewIntegration,
    SetupState,
    Trouble,
)
from orchestrator.kernel.db import Role
from orchestrator.kernel.events import EventRow
from orchestrator.kernel.settings import HealthSettings
from tests.fixtures.drivers import GITHUB

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASSING = Trouble(message="503 Service Unavailable")
MENDABLE = Trouble(message="Token revoked", hint="Sign in again.", needs_a_person=True)
WAREHOUSE = Trouble(message="permission denied", needs_a_person=True, shared=True)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({}, Health.UNKNOWN, id="nothing happened yet"),
        pytest.param({"checked_at": NOW}, Health.HEALTHY, id="a check passed, no run yet"),
        pytest.param({"last": Ended.SUCCEEDED}, Health.HEALTHY, id="the newest run succeeded"),
        pytest.param({"last": Ended.PARTIAL, "trouble": PASSING}, Health.DEGRADED, id="records were left out"),
        pytest.param({"last": Ended.FAILED, "failures": 1, "trouble": PASSING}, Health.DEGRADED, id="one passing failure"),
        pytest.param({"last": Ended.FAILED, "failures": 2, "trouble": PASSING}, Health.DEGRADED, id="two"),
        pytest.param({"last": Ended.FAILED, "failures": 3, "trouble": PASSING}, Health.FAILING, id="three in a row"),
        pytest.param({"last": Ended.FAILED, "failures": 1, "trouble": MENDABLE}, Health.FAILING, id="one that a person must mend"),
        pytest.param({"last": Ended.FAILED, "failures": 1, "trouble": WAREHOUSE}, Health.FAILING, id="the warehouse's, too"),
        pytest.param({"last": Ended.SUCCEEDED, "check_trouble": PASSING}, Health.DEGRADED, id="a check failed since"),
        pytest.param({"last": Ended.SUCCEEDED, "check_trouble": MENDABLE}, Health.FAILING, id="a check was let in no more"),
        pytest.param({"last": Ended.FAILED, "failures": 1, "trouble": PASSING, "checked_at": NOW}, Health.DEGRADED,
                     id="a check that passes mends no run"),
    ],
)  # fmt: skip
def test_health_follows_from_what_happened_last(facts, expected):
    assert rules.health(HealthFacts(**facts)) is expected


FAILED = {"last": Ended.FAILED, "trouble": MENDABLE}


@pytest.mark.parametrize(
    ("facts", "limit", "expected"),
    [
        pytest.param({**FAILED, "unmended": 4}, 10, Consequence.NONE, id="too few"),
        pytest.param({**FAILED, "unmended": 5}, 10, Consequence.WARN, id="halfway"),
        pytest.param({**FAILED, "unmended": 6, "warned_at": NOW}, 10, Consequence.NONE, id="warned once"),
        pytest.param({**FAILED, "unmended": 10, "warned_at": NOW}, 10, Consequence.DISABLE, id="the tenth"),
        pytest.param({**FAILED, "unmended": 50}, 10, Consequence.WARN, id="never without a warning"),
        pytest.param({**FAILED, "unmended": 1}, 2, Consequence.WARN, id="the least limit warns at the first"),
        pytest.param({**FAILED, "unmended": 2, "warned_at": NOW}, 2, Consequence.DISABLE, id="and disables at the second"),
        pytest.param({**FAILED, "unmended": 99, "warned_at": NOW}, None, Consequence.NONE, id="off"),
        pytest.param({**FAILED, "unmended": 99, "warned_at": NOW, "disable_after": 0}, 10, Consequence.NONE, id="off for this one"),
        pytest.param({**FAILED, "unmended": 3, "warned_at": NOW, "disable_after": 3}, None, Consequence.DISABLE, id="on for this one"),
        pytest.param({"last": Ended.FAILED, "trouble": PASSING, "unmended": 10, "warned_at": NOW}, 10, Consequence.NONE,
                     id="a passing failure disables nothing"),
        pytest.param({"last": Ended.FAILED, "trouble": WAREHOUSE, "unmended": 10, "warned_at": NOW}, 10, Consequence.NONE,
                     id="nor does one of what all share"),
    ],
)  # fmt: skip
def test_failures_that_a_person_must_mend_lead_to_a_warning_and_then_to_an_end(facts, limit, expected):
    assert rules.consequence(HealthFacts(**facts), disable_after=limit) is expected


@pytest.fixture
def connected(drivers, ready):
    return service.connect(drivers, ready)


@pytest.fixture
def noted(drivers, connected):
    """Note how a run of it ended; answers the integration and what is known of it then."""

    def note(ended, trouble=None, *, limit=4):
        with drivers.db.transaction(connected.org_id, role=Role.WORKER) as tx:
            service.note_run(tx, HealthSettings(disable_after=limit), org_id=connected.org_id,
                             integration_id=connected.id, ended=ended, trouble=trouble)  # fmt: skip
        return service.find(drivers, connected.org_id, connected.id), facts(drivers, connected)

    return note


def facts(drivers, integration):
    return service.health_facts(drivers, integration.org_id)[integration.id]


def events(drivers, org_id, *names):
    with drivers.db.transaction(org_id) as tx:
        rows = tx.query(EventRow).order_by(EventRow.id)
        return [
            (row.name.split(".")[1], row.payload)
            for row in rows
            if row.name in {f"integration.{one}.v1" for one in names}
        ]


def test_it_is_warned_of_then_disabled_and_says_both(drivers, connected, noted):
    enabled = [noted(Ended.FAILED, MENDABLE)[0].enabled for _ in range(4)]
    assert enabled == [True, True, True, False]
    told = events(drivers, connected.org_id, "disable_warned", "disabled")
    assert [(name, payload["failures"]) for name, payload in told] == [("disable_warned", 2), ("disabled", 4)]
    assert told[0][1]["limit"] == 4
    assert told[0][1]["hint"] == "Sign in again."
    assert f"orchestrator integrations enable {connected.id}" in told[1][1]["hint"]
    assert facts(drivers, connected).disabled_at is not None


def test_a_success_starts_the_count_over_and_a_passing_failure_does_not(drivers, connected, noted):
    for trouble in (MENDABLE, MENDABLE, PASSING):
        integration, known = noted(Ended.FAILED, trouble)
    assert (known.failures, known.unmended, integration.health) == (3, 2, Health.FAILING)
    assert known.warned_at is not None
    integration, known = noted(Ended.SUCCEEDED)
    assert (known.failures, known.unmended, known.warned_at, integration.health) == (0, 0, None, Health.HEALTHY)
    changes = [(one["before"], one["health"]) for _, one in events(drivers, connected.org_id, "health_changed")]
    assert changes == [("unknown", "failing"), ("failing", "healthy")]


def test_enabling_it_again_forgets_what_went_wrong(drivers, connected, noted):
    for _ in range(4):
        noted(Ended.FAILED, MENDABLE)
    again = service.switch(drivers, connected, enabled=True)
    known = facts(drivers, connected)
    assert (again.enabled, again.health) == (True, Health.UNKNOWN)
    assert (known.failures, known.unmended, known.disabled_at, known.trouble) == (0, 0, None, None)
    integration, known = noted(Ended.FAILED, MENDABLE)
    assert (integration.enabled, known.unmended) == (True, 1)


def test_what_went_well_is_still_known_once_it_is_enabled_again(drivers, connected, noted):
    noted(Ended.SUCCEEDED)
    service.switch(drivers, connected, enabled=False)
    assert service.switch(drivers, connected, enabled=True).health is Health.HEALTHY


def test_enabling_what_is_enabled_forgets_nothing(drivers, connected, noted):
    noted(Ended.FAILED, MENDABLE)
    service.switch(drivers, connected, enabled=True)
    assert facts(drivers, connected).unmended == 1


def test_changing_its_configuration_starts_the_count_over(drivers, connected, noted):
    for _ in range(3):
        noted(Ended.FAILED, MENDABLE)
    service.edit(drivers, connected, {**GITHUB, "auth": {"auth_type": "token"}})
    assert facts(drivers, connected).unmended == 0
    assert noted(Ended.FAILED, MENDABLE)[0].enabled


@pytest.fixture
def due(drivers):
    """Every check is due now."""

    def make():
        with drivers.db.connection() as connection:
            connection.execute(
                text("UPDATE orchestrator.integration_health SET next_check_at = now() - interval '1 s'")
            )

    return make


@pytest.fixture
def salesforce(drivers, place, salesforce_fields):
    made = service.add(drivers, place, NewIntegration(type="salesforce", name="CRM", values=salesforce_fields))
    return service.connect(drivers, made)


def checked(drivers):
    due = service.claim_check(drivers, after="")
    return None if due is None else (due.name, [one.verdict.value for one in service.look_in(drivers, due)])


def test_a_check_that_is_due_is_made_once_and_the_next_one_moves_on(drivers, salesforce, due):
    assert checked(drivers) is None
    due()
    assert checked(drivers) == ("CRM", ["passed", "passed", "passed"])
    assert checked(drivers) is None
    known = facts(drivers, salesforce)
    minutes = (known.next_check_at - known.checked_at) / timedelta(minutes=1)
    assert 53 < minutes < 67
    assert service.find(drivers, salesforce.org_id, "CRM").health is Health.HEALTHY


def test_a_check_that_was_claimed_and_never_made_is_soon_due_again(drivers, salesforce, due):
    due()
    assert service.claim_check(drivers, after="").id == salesforce.id, "and then its worker stops"
    assert checked(drivers) is None
    with drivers.db.connection() as connection:
        later = "UPDATE orchestrator.integration_health SET next_check_at = next_check_at - interval '10 minutes'"
        connection.execute(text(later))
    assert checked(drivers) == ("CRM", ["passed", "passed", "passed"])
    assert facts(drivers, salesforce).next_check_at - facts(drivers, salesforce).checked_at > timedelta(minutes=50)


def test_one_that_is_enabled_while_it_is_checked_is_checked_again_soon(drivers, salesforce, due):
    due()
    claimed = service.claim_check(drivers, after="")
    service.switch(drivers, service.switch(drivers, claimed, enabled=False), enabled=True)
    service.look_in(drivers, claimed)
    assert checked(drivers) == ("CRM", ["passed", "passed", "passed"])
    assert checked(drivers) is None


def test_a_check_that_is_let_in_no_more_says_that_somebody_must_sign_in(drivers, salesforce, due, org, monkeypatch):
    checked(drivers)
    monkeypatch.setattr(org.app, "client_secret", "another")
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.integration_credentials SET token_version = token_version + 1"))
        connection.execute(text("DELETE FROM orchestrator.vault_secrets WHERE field = 'access_token'"))
    due()
    assert checked(drivers) == ("CRM", ["passed", "failed", "skipped"])
    found = service.find(drivers, salesforce.org_id, "CRM")
    assert (found.setup_state, found.health) == (SetupState.NEEDS_REAUTH, Health.FAILING)
    assert facts(drivers, salesforce).check_trouble.needs_a_person


def test_a_session_that_ended_before_its_time_is_renewed_and_needs_nobody(drivers, salesforce, due, org):
    due()
    assert checked(drivers) == ("CRM", ["passed", "passed", "passed"])
    org.revoke_sessions()
    due()
    assert checked(drivers) == ("CRM", ["passed", "passed", "passed"])
    assert service.find(drivers, salesforce.org_id, "CRM").setup_state is SetupState.CONNECTED


def test_however_many_workers_claim_each_check_is_made_by_one(drivers, place, due):
    for number in range(20):
        service.connect(
            drivers, service.add(drivers, place, NewIntegration(type="github", name=f"R{number}", values=GITHUB))
        )
    due()

    def claim(_):
        with drivers.db.anonymous(role=Role.WORKER) as tx:
            found = queries.claim_due_check(tx, every=timedelta(hours=1), after="")
        return [] if found is None else [found[1]]

    with ThreadPoolExecutor(5) as workers:
        claimed = [one for found in workers.map(claim, range(60)) for one in found]
    assert (len(claimed), len(set(claimed))) == (20, 20)


def test_a_sync_puts_the_next_check_off(drivers, connected, noted, due):
    due()
    noted(Ended.SUCCEEDED)
    assert checked(drivers) is None


def test_what_is_off_disabled_or_a_draft_is_not_checked(drivers, place, salesforce, due, github):
    other = service.set_check_every(drivers, salesforce, timedelta(0))
    assert other.check_every == timedelta(0)
    due()
    assert checked(drivers) is None, "off, and the other is a draft"
    service.set_check_every(drivers, salesforce, None)
    service.switch(drivers, salesforce, enabled=False)
    due()
    assert checked(drivers) is None


def test_an_organization_with_many_checks_that_are_due_holds_up_no_other(drivers, place, due):
    def connect(org, name):
        return service.connect(
            drivers, service.add(drivers, org, NewIntegration(type="github", name=name, values=GITHUB))
        )

    for number in range(6):
        connect(place, f"R{number}")
    others = [identity.ensure(drivers.db, name) for name in ("beta", "gamma")]
    for other in others:
        with drivers.db.transaction(other.org_id) as tx:
            service.ensure_warehouse(tx, other.org_id)
        connect(other, "Theirs")
    due()
    turns, served = [], ""
    while (claimed := service.claim_check(drivers, after=served)) is not None:
        served = claimed.org_id
        turns.append(served)
    assert sorted(turns[:3]) == sorted([place.org_id, *(one.org_id for one in others)])
    assert turns[3:] == 5 * [place.org_id]


def test_checks_of_other_organizations_are_made_as_theirs(drivers, place, salesforce_fields, due):
    theirs = identity.ensure(drivers.db, "other")
    with drivers.db.transaction(theirs.org_id) as tx:
        service.ensure_warehouse(tx, theirs.org_id)
    made = service.add(drivers, theirs, NewIntegration(type="salesforce", name="Theirs", values=salesforce_fields))
    service.connect(drivers, made)
    due()
    assert checked(drivers)[0] == "Theirs"
    assert facts(drivers, made).checked_at is not None
    assert service.health_facts(drivers, place.org_id) == {}
