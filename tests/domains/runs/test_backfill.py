"""A backfill reads a window of the past and leaves the integration's state as it was, however it ends."""

import threading
from datetime import UTC, datetime

import pytest

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Health, Mode, NewIntegration, Window
from orchestrator.domains.runs import rules, service
from orchestrator.domains.runs.errors import RunInProgressError, WindowArgumentError
from orchestrator.domains.runs.types import RunKind, RunStatus
from orchestrator.drivers.meltano.output import Source
from tests.fakes.meltano import counted, said, singer_state

NOW = datetime(2026, 11, 29, 12, 0, 0, 123, tzinfo=UTC)
SPRING = Window(since=datetime(2024, 1, 1, tzinfo=UTC), until=datetime(2024, 6, 1, tzinfo=UTC))
TODAY = {"replication_key": "SystemModstamp", "replication_key_value": "2026-11-29T00:00:00Z"}
MARCH = {**TODAY, "replication_key_value": "2024-03-01T00:00:00Z", "unfinished_since": "2024-06-01T00:00:00Z"}


def entry(name, *, incremental):
    root = {"inclusion": "available", **({"valid-replication-keys": ["SystemModstamp"]} if incremental else {})}
    return {
        "tap_stream_id": name,
        "stream": name,
        "key_properties": ["Id"],
        "schema": {"type": "object", "properties": {"Id": {"type": "string"}, "SystemModstamp": {"type": "string"}}},
        "metadata": [{"breadcrumb": [], "metadata": root}],
    }


@pytest.fixture
def crm(drivers, place, salesforce_fields, meltano):
    """A connected org with a stream that tells when its records changed, and one that doesn't."""
    made = integrations.add(drivers, place, NewIntegration(type="salesforce", name="CRM", values=salesforce_fields))
    meltano.catalog = {"streams": [entry("Contact", incremental=True), entry("Setting__c", incremental=False)]}
    integrations.discover(drivers, made)
    integrations.choose(drivers, made, ["*"], selected=True)
    return made


@pytest.fixture
def synced(drivers, crm, meltano):
    """The same, after a sync; its state."""
    meltano.states = [singer_state(Contact=TODAY)]
    service.execute(drivers, crm, service.request(drivers, crm))
    meltano.ran.clear()
    return service.show(drivers, crm)


def ask(drivers, crm, **wishes):
    return service.request(drivers, crm, kind=RunKind.BACKFILL, window=SPRING, **wishes)


def test_it_reads_its_window_and_the_state_stays_as_it_was(drivers, crm, meltano, synced):
    meltano.states = [singer_state(Contact=MARCH), singer_state(Contact={**MARCH, "replication_key_value": "x"})]
    run = service.execute(drivers, crm, ask(drivers, crm))
    assert (run.status, run.kind, run.window) == (RunStatus.SUCCEEDED, RunKind.BACKFILL, SPRING)
    [project] = meltano.ran
    config = project.extractor.config
    assert (config["start_date"], config["end_date"]) == ("2024-01-01T00:00:00+00:00", "2024-06-01T00:00:00+00:00")
    assert meltano.began_with is None, "it begins with no bookmark of the integration's"
    assert [one["stream"] for one in project.catalog["streams"]] == ["Contact"], "only what tells when it changed"
    assert service.show(drivers, crm) == synced == service.history(drivers, crm)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_one_that_ended_midway_left_the_state_alone_and_a_retry_goes_on_where_it_was(
    drivers, crm, meltano, synced, end
):
    meltano.states = [singer_state(Contact=MARCH)]
    meltano.code = 1
    meltano.act = (lambda fake: fake.cancel.set()) if end == "cancelled" else None
    ended = service.execute(drivers, crm, ask(drivers, crm, streams=["Contact"]))
    assert ended.status == end
    assert service.show(drivers, crm) == synced
    meltano.code, meltano.states, meltano.act = 0, [], None
    again = service.execute(drivers, crm, service.retry(drivers, crm, ended))
    assert (again.kind, again.window, again.streams, again.status) == (
        RunKind.BACKFILL,
        SPRING,
        ("Contact",),
        "succeeded",
    )
    assert meltano.began_with == singer_state(Contact=MARCH)
    assert service.show(drivers, crm) == synced


def test_one_that_succeeded_is_done_again_from_the_beginning_of_its_window(drivers, crm, meltano):
    meltano.states = [singer_state(Contact=MARCH)]
    done = service.execute(drivers, crm, ask(drivers, crm))
    service.execute(drivers, crm, service.retry(drivers, crm, done))
    assert meltano.began_with is None


def test_left_to_a_worker_its_next_try_goes_on_too(drivers, crm, meltano, synced):
    service.join(drivers, host="here", pid=1, version="0", concurrency=1)
    run = service.submit(drivers, crm, kind=RunKind.BACKFILL, window=SPRING)
    meltano.states, meltano.code, meltano.error = [singer_state(Contact=MARCH)], 1, "503 Service Unavailable"
    tried = service.take(drivers, crm.org_id, run.id, drain=threading.Event())
    assert (tried.status, tried.kind, tried.window) == (RunStatus.RETRYING, RunKind.BACKFILL, SPRING)
    meltano.code, meltano.states = 0, []
    service.take(drivers, crm.org_id, run.id, drain=threading.Event())
    assert meltano.began_with == singer_state(Contact=MARCH)
    assert service.show(drivers, crm) == synced


def test_an_integration_has_one_run_under_way_whatever_its_kind(drivers, crm):
    run = ask(drivers, crm)
    for wishes in ({}, {"kind": RunKind.BACKFILL, "window": SPRING}):
        with pytest.raises(RunInProgressError, match=run.id):
            service.request(drivers, crm, **wishes)
        with pytest.raises(RunInProgressError, match=run.id):
            service.submit(drivers, crm, **wishes)


def test_its_end_says_nothing_about_the_health_of_syncs_nor_about_what_they_read(drivers, crm, meltano, synced):
    meltano.outputs = [counted(Source.TAP, "Contact", 7), counted(Source.TARGET, "Contact", 7)]
    service.execute(drivers, crm, ask(drivers, crm))
    meltano.code = 1
    service.execute(drivers, crm, ask(drivers, crm))
    assert integrations.find(drivers, crm.org_id, crm.id).health is Health.HEALTHY
    assert {one.samples for one in service.forecast(drivers, crm).streams} == {0}


def test_the_command_shows_what_came_and_says_what_it_was(command, drivers, crm, meltano):
    meltano.outputs = [said("reading"), counted(Source.TAP, "Contact", 7), counted(Source.TARGET, "Contact", 7)]
    meltano.states = [singer_state(Contact=MARCH)]
    answer = command("backfill", "CRM", "--from", "2024-01-01", "--to", "2024-06-01", "--json")
    assert answer.code == 0
    assert (answer.json["kind"], answer.json["streams"][0]["written"]) == ("backfill", 7)
    assert answer.json["window"] == {"since": "2024-01-01T00:00:00+00:00", "until": "2024-06-01T00:00:00+00:00"}
    run = answer.json["id"]
    assert "Backfilling from 2024-01-01 to 2024-06-01: Contact into crm" in command("runs", "logs", run).out
    assert "backfill from 2024-01-01 to 2024-06-01" in command("runs", "show", run).out
    assert "backfill" in command("runs", "list").out


def test_the_command_may_leave_it_to_a_worker(command, drivers, crm):
    answer = command(
        "backfill", "CRM", "-s", "Contact", "--from", "2024-01-01", "--to", "2024-06-01", "--detach", "--json"
    )
    run = service.find(drivers, crm.org_id, answer.json["id"])
    assert (run.kind, run.window, run.detached, run.status) == (RunKind.BACKFILL, SPRING, True, RunStatus.QUEUED)


@pytest.mark.parametrize(
    ("arguments", "code", "said_so"),
    [
        pytest.param(("--from", "soon"), 2, "'soon' is no day or time", id="no time"),
        pytest.param(("--from", "2024-02-30"), 2, "no day or time", id="no such day"),
        pytest.param(("--from", "2024-06-01", "--to", "2024-06-01"), 2, "nothing from", id="empty"),
        pytest.param(("--from", "0001-01-01"), 2, "Nothing changed before 1970-01-01", id="before all"),
        pytest.param(("--from", "2999-01-01"), 2, "nothing from 2999-01-01", id="to come"),
        pytest.param(("--from", "2024-01-01", "-s", "Setting__c"), 5, "read whole each time", id="read whole"),
        pytest.param(("--from", "2024-01-01", "-s", "contact"), 3, "Did you mean 'Contact'", id="no such stream"),
        pytest.param((), 2, "--from", id="no window"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_queued(command, drivers, crm, arguments, code, said_so):
    answer = command("backfill", "CRM", *arguments)
    assert answer.code == code
    assert said_so in answer.err
    assert service.listing(drivers, crm.org_id) == []


def test_with_nothing_but_streams_that_are_read_whole_it_says_so(command, drivers, crm):
    integrations.change_mode(drivers, crm, ["Contact"], Mode.FULL_TABLE)
    assert "read whole each time" in command("backfill", "CRM", "--from", "2024-01-01").err


def test_a_source_whose_plugin_knows_no_end_is_refused(command, ready):
    answer = command("backfill", "Our code", "--from", "2024-01-01")
    assert answer.code == 5
    assert "GitHub's plugin (meltanolabs) knows no end" in answer.err
    assert "--full-refresh" in answer.err


@pytest.mark.parametrize(
    ("since", "until", "window"),
    [
        ("2024-01-01", "2024-06-01", SPRING),
        ("2024-01-01T01:00:00+01:00", "2024-06-01T02:00:00+02:00", SPRING),
        (" 2024-01-01T00:00:00.9 ", None, Window(since=SPRING.since, until=NOW.replace(microsecond=0))),
    ],
)
def test_windows_are_read_in_utc_to_the_second(since, until, window):
    found = rules.window(since, until, now=NOW)
    assert found == window


def test_a_time_out_of_all_calendars_is_no_time():
    with pytest.raises(WindowArgumentError):
        rules.window("9999-12-31T23:59:59-23:59", None, now=NOW)
