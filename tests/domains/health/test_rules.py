"""What needs attention, and what to type."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.domains.health import rules
from orchestrator.domains.health.types import Cause, Freshness
from orchestrator.domains.integrations.types import Health, HealthFacts, Integration, SetupState, Trouble

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WELL = Integration(
    org_id="o", id="int_1", workspace_id="w", type="github", variant="v", name="Our code", config={}, credential_id="c",
    destination_id="d", target_schema="s", setup_state=SetupState.CONNECTED, enabled=True, health=Health.HEALTHY,
    tested_at=None, discovered_at=None, created_at=NOW, updated_at=NOW, deleted_at=None,
)  # fmt: skip
WRONG = Trouble(message="Token revoked.", hint="Make a new one.", needs_a_person=True)
LATE = Freshness(as_of=None, due=NOW, late=True)
NAME = "'Our code'"


@pytest.mark.parametrize(
    ("integration", "facts", "fresh", "cause", "todo"),
    [
        pytest.param({}, {}, None, None, "", id="all is well"),
        pytest.param({}, {}, replace(LATE, late=False), None, "", id="in time"),
        pytest.param({"enabled": False}, {"disabled_at": NOW, "unmended": 10, "trouble": WRONG}, None, Cause.DISABLED,
                     f"Make a new one. Then: orchestrator integrations enable {NAME}", id="disabled by failures"),
        pytest.param({"enabled": False, "health": Health.FAILING}, {"trouble": WRONG}, None, None, "", id="a person disabled it"),
        pytest.param({"setup_state": SetupState.DRAFT}, {"check_trouble": WRONG}, LATE, None, "", id="a draft"),
        pytest.param({"setup_state": SetupState.NEEDS_REAUTH, "health": Health.FAILING}, {"trouble": WRONG}, LATE, Cause.SIGN_IN,
                     f"Make a new one. orchestrator integrations edit {NAME}", id="sign in comes before all that follows from it"),
        pytest.param({"health": Health.FAILING}, {"failures": 3, "trouble": WRONG}, LATE, Cause.FAILING, "Make a new one.", id="failing"),
        pytest.param({"health": Health.DEGRADED}, {"trouble": WRONG}, LATE, Cause.LATE, f"orchestrator schedules list -i {NAME}", id="late"),
        pytest.param({"health": Health.DEGRADED}, {"trouble": Trouble(message="503")}, None, Cause.DEGRADED,
                     f"orchestrator test {NAME}", id="degraded, and nobody gave a hint"),
    ],
)  # fmt: skip
def test_the_most_pressing_thing_is_told_with_what_to_type(integration, facts, fresh, cause, todo):
    found = rules.attention(replace(WELL, **integration), HealthFacts(**facts), fresh, workers=1)
    assert (found.cause if found else None, found.todo if found else "") == (cause, todo)


def test_where_nothing_syncs_since_no_worker_runs_that_is_said():
    found = rules.attention(WELL, HealthFacts(), LATE, workers=0)
    assert found.todo == "No worker runs: orchestrator worker"
