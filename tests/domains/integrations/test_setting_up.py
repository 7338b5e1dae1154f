"""From fields to an integration that is ready to sync, as every door has it."""

from contextlib import contextmanager

import pytest

from orchestrator.domains.integrations import service
from orchestrator.domains.integrations.errors import FailedTestError, InvalidIntegrationConfigError, UnknownStreamError
from orchestrator.domains.integrations.service import Follower, Step
from orchestrator.domains.integrations.types import NewIntegration, SetupState, Verdict
from orchestrator.drivers.keys import MissingKeyError
from orchestrator.drivers.meltano.errors import DiscoveryError
from tests.fixtures.drivers import GITHUB, TEAMS, USERS

NEW = NewIntegration(type="github", name="Our code", values=GITHUB)


@pytest.fixture(autouse=True)
def _source(meltano, drivers, monkeypatch):
    """A source with two streams, at which every check but the plugin's own is spared."""
    meltano.catalog, meltano.first_stream = {"streams": [USERS, TEAMS]}, "users"
    monkeypatch.setattr(service.checking, "_named", lambda *_, **_how: lambda: "")


@pytest.fixture
def selected(drivers):
    """Names of the streams that are read."""
    return lambda made: {stream.name for stream in service.streams(drivers, made) if stream.selected}


@pytest.fixture
def followed():
    """A follower of each step, and what it was told."""
    told = []

    @contextmanager
    def follow(step, so_far):
        told.append((step, so_far.integration.setup_state))
        yield Follower(on_check=lambda check: told.append(check.verdict))
        told.append(f"end of {step}")

    follow.told = told
    return follow


def test_it_is_saved_tested_connected_discovered_and_reads_exactly_what_was_named(drivers, place, selected):
    done = service.set_up(drivers, place, NEW, streams=["t*"])
    assert done.failure is None
    assert done.or_raise().setup_state is SetupState.CONNECTED
    assert {check.verdict for check in done.checks} == {Verdict.PASSED}
    assert done.change.total == 2
    assert selected(done.integration) == {"teams"}
    assert service.find(drivers, place.org_id, "Our code").id == done.integration.id


def test_each_step_is_followed_from_its_beginning_to_its_end(drivers, place, followed):
    service.set_up(drivers, place, NEW, on_step=followed)
    checks = [told for told in followed.told if told is Verdict.PASSED]
    assert followed.told == [
        (Step.TEST, SetupState.DRAFT),
        *checks,
        "end of test",
        (Step.DISCOVER, SetupState.CONNECTED),
        "end of discover",
    ]
    assert checks


def test_a_failing_check_ends_it_with_a_draft_and_its_reason(drivers, place, meltano, followed):
    meltano.first_stream, meltano.code, meltano.error = None, 1, "Bad credentials"
    done = service.set_up(drivers, place, NEW, streams=["users"], on_step=followed)
    assert isinstance(done.failure, FailedTestError)
    assert "Bad credentials" in done.failure.message
    assert done.integration.setup_state is SetupState.DRAFT
    assert done.checks[-1].verdict is Verdict.FAILED
    assert (done.change, followed.told[-1]) == (None, "end of test")
    with pytest.raises(FailedTestError):
        done.or_raise()


def test_what_prevents_testing_at_all_is_the_failure_and_the_draft_stays(drivers, place, monkeypatch):
    def no_key(*_, **__):
        raise MissingKeyError(drivers.settings.key_file)

    monkeypatch.setattr(service.checking, "test", no_key)
    done = service.set_up(drivers, place, NEW)
    assert isinstance(done.failure, MissingKeyError)
    assert service.find(drivers, place.org_id, "Our code").setup_state is SetupState.DRAFT


def test_a_failing_discovery_leaves_it_connected(drivers, place, meltano, monkeypatch):
    def refused(*_, **__):
        raise DiscoveryError("no catalog today")

    monkeypatch.setattr(service.checking, "discover", refused)
    done = service.set_up(drivers, place, NEW)
    assert isinstance(done.failure, DiscoveryError)
    assert done.integration.setup_state is SetupState.CONNECTED
    assert done.checks


def test_a_stream_that_is_not_there_changes_no_selection(drivers, place, selected):
    done = service.set_up(drivers, place, NEW, streams=["users", "nope"])
    assert isinstance(done.failure, UnknownStreamError)
    assert (done.change.total, selected(done.integration)) == (2, set())


def test_steps_can_be_left_out_and_a_draft_stays_one_without_its_test(drivers, place, followed):
    done = service.set_up(drivers, place, NEW, test=False, discover=False, on_step=followed)
    assert (done.failure, done.checks, done.change) == (None, (), None)
    assert done.integration.setup_state is SetupState.DRAFT
    assert followed.told == []


def test_naming_streams_asks_the_source_for_them(drivers, place, selected):
    done = service.set_up(drivers, place, NEW, streams=["users"], test=False, discover=False)
    assert selected(done.or_raise()) == {"users"}


def test_fields_that_do_not_fit_save_nothing(drivers, place):
    with pytest.raises(InvalidIntegrationConfigError):
        service.set_up(drivers, place, NewIntegration(type="github", name="x", values={}))
    assert service.listing(drivers, place.org_id) == []


def test_an_integration_that_is_there_is_made_ready_again(drivers, ready, selected):
    done = service.make_ready(drivers, ready)
    assert done.or_raise().setup_state is SetupState.CONNECTED
    assert selected(ready) == {"users", "teams"}


def test_choosing_nothing_reads_nothing(drivers, ready, selected):
    assert service.choose_only(drivers, ready, []) == ()
    assert selected(ready) == set()


def test_what_is_gone_is_not_chosen_again_by_a_pattern(drivers, ready, meltano, selected):
    meltano.catalog = {"streams": [USERS]}
    service.discover(drivers, ready)
    assert service.choose_only(drivers, ready, ["*"]) == ("users",)
    assert selected(ready) == {"users", "teams"}
