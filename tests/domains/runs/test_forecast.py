import pytest

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.errors import UnknownStreamError
from orchestrator.domains.runs import service
from orchestrator.domains.runs.types import Forecast
from orchestrator.drivers.meltano.output import Source
from tests.fakes.meltano import counted, singer_state

TIMES = ["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"]


@pytest.fixture
def sync(drivers, ready, meltano):
    """Run a sync that moves so many users."""

    def call(users, at, calls=None, **options):
        meltano.outputs = [counted(Source.TAP, "users", users), counted(Source.TARGET, "users", users)]
        meltano.outputs += [] if calls is None else [counted(Source.TAP, "users", calls, "http_request_count")]
        meltano.states = [singer_state(users={"replication_key": "at", "replication_key_value": at})]
        return service.execute(drivers, ready, service.request(drivers, ready, **options))

    return call


def users(drivers, ready, **options):
    return next(one for one in service.forecast(drivers, ready, **options).streams if one.stream == "users")


def test_before_the_first_sync_nothing_is_known(drivers, ready, meltano):
    found = users(drivers, ready)
    assert (found.whole, found.position, found.rows, found.samples) == (True, "from the start", None, 0)
    assert meltano.ran == []


def test_changes_are_estimated_by_runs_that_read_changes(drivers, ready, sync):
    for count, at in zip([10_000, 10, 30, 20], TIMES, strict=True):
        sync(count, at)
    found = users(drivers, ready)
    assert (found.whole, found.position, found.rows, found.samples) == (False, "2024-04-01", 20, 3)


def test_requests_are_estimated_where_the_plugin_counts_them(command, drivers, ready, sync):
    for count, at, calls in zip([10_000, 10, 30, 20], TIMES, [300, None, 9, 5], strict=True):
        sync(count, at, calls)
    assert users(drivers, ready).api_calls == 7
    assert users(drivers, ready, full_refresh=True).api_calls == 300
    document = command("plan", "Our code", "--stream", "users", "--json").json
    assert document["estimated_api_calls"] == 7
    assert command("plan", "Our code", "--json").json["estimated_api_calls"] is None, "of teams nothing is known"


def test_a_plan_says_why_it_does_not_know_and_when_it_will(command, drivers, ready, sync):
    assert "no sync that reads from the start has succeeded yet for teams, users" in command("plan", "Our code").err
    sync(10_000, TIMES[0], 300)
    answer = command("plan", "Our code", "--stream", "users")
    assert "no sync that reads changes has succeeded yet for users" in answer.err
    sync(10, TIMES[1])
    answer = command("plan", "Our code", "--stream", "users")
    assert "the runs that this goes by counted none for users" in answer.err
    assert "?:" not in command("plan", "Our code", "--stream", "users", "--full-refresh").err
    [first, second] = command("plan", "Our code", "--json").json["streams"]
    assert (first["stream"], first["estimate"]["api_calls_unknown"]) == ("teams", "no_run_yet")
    assert (second["stream"], second["estimate"]["api_calls_unknown"]) == ("users", "not_counted")


def test_scopes_that_are_needed_and_not_granted_are_named():
    facts = {"streams": (), "encoding": None, "sign_in": "active", "sign_in_problem": None, "under_way": None}
    told = Forecast(needed_scopes=("api", "refresh_token"), granted_scopes=("api", "id"), **facts)
    assert told.missing_scopes == ("refresh_token",)
    assert Forecast(needed_scopes=("api",), granted_scopes=None, **facts).missing_scopes == ()


def test_a_full_refresh_is_estimated_by_runs_from_the_start(drivers, ready, sync):
    for count, at in zip([10_000, 10, 30, 20], TIMES, strict=True):
        sync(count, at)
    found = users(drivers, ready, full_refresh=True)
    assert (found.whole, found.rows, found.samples) == (True, 10_000, 1)


def test_after_a_reset_it_starts_over(drivers, ready, sync):
    sync(10_000, TIMES[0])
    service.reset(drivers, ready, apply=True)
    assert users(drivers, ready).rows == 10_000
    sync(11_000, TIMES[1])
    assert users(drivers, ready, full_refresh=True).samples == 2


def test_of_runs_that_failed_nothing_is_learned(drivers, ready, sync, meltano):
    meltano.code = 1
    sync(10_000, TIMES[0])
    assert users(drivers, ready).rows is None


def test_the_command_shows_it_and_starts_nothing(command, drivers, ready, sync, meltano):
    sync(1_000, TIMES[0])
    meltano.ran.clear()
    answer = command("plan", "Our code")
    assert "2024-01-01" in answer.out
    assert "schema our_code" in answer.err
    document = command("plan", "Our code", "--full-refresh", "--stream", "users", "--json").json
    assert (document["estimated_rows"], document["sign_in"]["status"]) == (1_000, "active")
    assert meltano.ran == []
    assert len(service.listing(drivers, ready.org_id)) == 1


def test_what_a_sync_would_refuse_a_plan_refuses(command, drivers, ready):
    with pytest.raises(UnknownStreamError):
        service.forecast(drivers, ready, streams=["user"])
    integrations.switch(drivers, ready, enabled=False)
    assert command("plan", "Our code").code != 0


def test_a_run_under_way_is_named(command, drivers, ready):
    run = service.request(drivers, ready)
    assert run.id in command("plan", "Our code").err
