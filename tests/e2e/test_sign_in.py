"""Signing in: wrong, revoked, expired in the middle, rotating. A person is told what to do; tokens are never lost."""

import secrets
from collections.abc import Iterator

import pytest

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration, SetupState
from orchestrator.domains.runs.types import FailureKind, Origin
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.conftest import values_of
from tests.e2e.installation import Installation, eventually
from tests.e2e.syncing import under_way


@pytest.fixture
def own_org() -> Iterator[LocalOrg]:
    """An org whose sign-in may be broken; each refresh token works once."""
    with LocalOrg(counts={"Account": 20_000, "User": 3}, rotate_refresh_tokens=True) as made:  # several files
        yield made


@pytest.fixture
def signed_in(installation: Installation, own_org: LocalOrg, like: Integration) -> Integration:
    """An integration of that org, which brings one file after the other."""
    values = values_of(own_org, max_workers=1)
    return installation.add(f"own {secrets.token_hex(3)}", values, ["Account"], like=like)


def setup_state(installation: Installation, integration: Integration) -> SetupState:
    with installation.drivers() as drivers:
        return integrations.find(drivers, integration.org_id, integration.id).setup_state


def test_a_wrong_secret_names_the_check_and_salesforces_reason(
    installation: Installation, own_org: LocalOrg, like: Integration
) -> None:
    values = values_of(own_org)
    values["auth"]["client_secret"] = "wrong-" + secrets.token_hex(16)
    made = installation.add(f"wrong {secrets.token_hex(3)}", values, ["Account"], like=like)
    done = installation.run("test", made.id, "--json")
    assert done.code == 7, done.err
    checks = {check["name"]: check for check in done.json}
    failed = next(check for check in checks.values() if check["verdict"] == "failed")
    assert failed["name"] == "sign_in"
    assert "invalid_client" in failed["message"]
    assert checks["first_record"]["verdict"] == "skipped"
    assert values["auth"]["client_secret"] not in done.out + done.err


def test_a_revoked_sign_in_needs_a_person_and_says_so(
    installation: Installation, own_org: LocalOrg, signed_in: Integration
) -> None:
    own_org.revoke_app()
    done = installation.run("sync", signed_in.id, "--json")
    assert done.code == 8, done.err
    assert done.json["failure"]["kind"] == "auth_expired"
    assert "invalid_grant" in done.json["failure"]["message"]
    assert setup_state(installation, signed_in) is SetupState.NEEDS_REAUTH


def test_rotating_refresh_tokens_are_kept_over_several_syncs(
    installation: Installation, own_org: LocalOrg, signed_in: Integration
) -> None:
    for _ in range(2):
        own_org.revoke_sessions()
        done = installation.run("sync", signed_in.id, "--json")
        assert done.code == 0, done.err


def test_a_session_ended_in_the_middle_is_renewed_once_and_the_run_succeeds(
    installation: Installation, own_org: LocalOrg, signed_in: Integration
) -> None:
    running = under_way(installation, signed_in, own_org, "--json", stream="Account")
    own_org.stats.reset()
    own_org.revoke_sessions()
    own_org.faults.clear()
    done = running.end()
    assert done.code == 0, done.err
    requests = own_org.stats.shown()["requests"]
    assert sum(count for request, count in requests.items() if "oauth2/token" in request) == 1
    assert sum(count for request, count in requests.items() if "/results" in request) > 1
    [account] = done.json["streams"]
    assert account["read"] == account["written"] == sum(own_org.count("Account").values())
    with installation.drivers() as drivers:
        assert not difference(own_org, drivers.warehouse_url, signed_in.target_schema, "Account")


def test_a_sign_in_revoked_in_the_middle_ends_the_run_and_needs_a_person(
    installation: Installation, own_org: LocalOrg, signed_in: Integration
) -> None:
    own_org.bulk.job_seconds = 60.0
    running = installation.start("sync", signed_in.id, "--json")
    eventually(lambda: any("jobs/query/" in asked for asked in own_org.stats.shown()["requests"]), "a job under way")
    own_org.revoke_app()
    done = running.end()
    assert done.code == 8, done.err
    run = installation.latest(signed_in)
    assert run.failure is not None
    assert (run.failure.kind, run.failure.origin) == (FailureKind.AUTH_EXPIRED, Origin.SOURCE)
    assert "invalid_grant" in run.failure.message
    assert setup_state(installation, signed_in) is SetupState.NEEDS_REAUTH
