"""What is counted, and under which labels."""

from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import text

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import CheckResult, Verdict
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.errors import LeaseLostError
from orchestrator.domains.runs.types import Progress, StreamCount
from orchestrator.domains.schedules import service as schedules
from orchestrator.domains.schedules.types import Fired, Policy, Timing
from orchestrator.drivers.meltano.output import Source
from orchestrator.entry.observing.metrics import Metrics
from orchestrator.kernel.db import DatabaseAwayError
from tests.fakes.meltano import counted, singer_state


@pytest.fixture
def metrics(drivers):
    return Metrics(drivers, concurrency=4, version="1.2.3")


def shown(metrics, *beginnings):
    """name{labels} → value of the series that begin so."""
    lines = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(beginnings)}


def taken(drivers, metrics, run):
    import threading

    return runs.take(drivers, run.org_id, run.id, drain=threading.Event(), follow=metrics.attempt)


def test_a_run_is_counted_by_connector_and_status_with_its_records(drivers, ready, meltano, metrics):
    meltano.outputs = [counted(Source.TAP, "users", 7), counted(Source.TARGET, "users", 7)]
    meltano.states = [singer_state(users={"page": 1})]
    taken(drivers, metrics, runs.submit(drivers, ready))
    found = shown(
        metrics,
        "orchestrator_run_attempts_total",
        "orchestrator_records_total",
        "orchestrator_run_attempt_seconds_count",
    )
    assert found == {
        'orchestrator_run_attempts_total{connector="github",status="succeeded"}': 1,
        'orchestrator_run_attempt_seconds_count{connector="github"}': 1,
        'orchestrator_records_total{connector="github",side="read"}': 7,
        'orchestrator_records_total{connector="github",side="written"}': 7,
        'orchestrator_records_total{connector="github",side="deleted"}': 0,
    }


def test_a_failure_is_counted_by_its_kind_and_whose_it_is(drivers, ready, meltano, metrics):
    meltano.code, meltano.error = 1, "401 Client Error: Unauthorized"
    taken(drivers, metrics, runs.submit(drivers, ready))
    assert shown(metrics, "orchestrator_run_failures_total") == {
        'orchestrator_run_failures_total{connector="github",kind="auth_expired",origin="source"}': 1
    }


def test_records_count_while_a_run_goes_on_and_never_backwards(ready, metrics, drivers):
    run = runs.request(drivers, ready)
    with metrics.attempt(ready, run) as follower:
        for read in (5, 12, 9):
            follower.progress(Progress(phase="syncing", counts=(StreamCount(stream="users", read=read),)))
        assert shown(metrics, "orchestrator_worker_slots_busy") == {"orchestrator_worker_slots_busy": 1}
        assert (
            shown(metrics, "orchestrator_records_total")['orchestrator_records_total{connector="github",side="read"}']
            == 12
        )
    assert shown(metrics, "orchestrator_worker_slots_busy") == {"orchestrator_worker_slots_busy": 0}


def test_a_lease_that_others_took_is_counted(drivers, ready, metrics):
    run = runs.request(drivers, ready)
    with suppress(LeaseLostError), metrics.attempt(ready, run):
        raise LeaseLostError(run.id)
    assert shown(metrics, "orchestrator_leases_lost_total") == {"orchestrator_leases_lost_total": 1}


def test_slots_checks_and_recoveries_are_counted(drivers, ready, metrics):
    metrics.fired(Fired(fired=3, missed=2))
    metrics.checked(ready, [CheckResult(name="reach", title="Reach", verdict=Verdict.FAILED)])
    metrics.recovered([runs.request(drivers, ready)])
    found = shown(
        metrics, "orchestrator_schedule_slots", "orchestrator_connection_checks", "orchestrator_runs_recovered"
    )
    assert found['orchestrator_schedule_slots_total{outcome="fired"}'] == 3
    assert found['orchestrator_schedule_slots_total{outcome="missed"}'] == 2
    assert found['orchestrator_connection_checks_total{connector="github",result="failed"}'] == 1
    assert found["orchestrator_runs_recovered_total"] == 1


def test_the_installation_is_told_as_its_database_has_it(drivers, ready, metrics):
    runs.submit(drivers, ready)
    schedules.add(drivers, ready, Timing(every=timedelta(hours=1)), Policy())
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.schedules SET next_fire_at = now() - interval '5 minutes'"))
        connection.execute(text("UPDATE orchestrator.run_queue SET requested_at = now() - interval '1 minute'"))
    integrations.switch(drivers, ready, enabled=False)
    found = shown(metrics, "orchestrator_installation", "orchestrator_database_up")
    assert found["orchestrator_database_up"] == 1
    assert found['orchestrator_installation_queue_runs{state="waiting"}'] == 1
    assert 60 <= found["orchestrator_installation_queue_oldest_seconds"] < 90
    assert 300 <= found["orchestrator_installation_scheduler_lag_seconds"] < 330
    assert (
        found['orchestrator_installation_integrations{disabled_by="person",health="unknown",setup_state="draft"}'] == 1
    )


def test_every_run_counts_once_whoever_did_it_and_whichever_worker_is_asked(drivers, ready, meltano, metrics):
    meltano.outputs = [counted(Source.TAP, "users", 7), counted(Source.TARGET, "users", 6)]
    meltano.outputs += [
        counted(Source.TAP, "users", 2, "deleted_count"),
        counted(Source.TARGET, "users", 90, "byte_count"),
    ]
    meltano.states = [singer_state(users={"page": 1})]
    runs.execute(drivers, ready, runs.request(drivers, ready))
    taken(drivers, metrics, runs.submit(drivers, ready))
    runs.cancel(drivers, runs.submit(drivers, ready))
    elsewhere = Metrics(drivers, concurrency=1, version="1.2.3")
    for one in (metrics, elsewhere):
        found = shown(one, "orchestrator_installation_r", "orchestrator_installation_written")
        assert found.pop('orchestrator_installation_run_seconds_total{connector="github"}') > 0
        assert found == {
            'orchestrator_installation_runs_total{connector="github",kind="sync",status="partial"}': 2,
            'orchestrator_installation_runs_total{connector="github",kind="sync",status="cancelled"}': 1,
            'orchestrator_installation_run_failures_total{connector="github",kind="destination_error",origin="destination"}': 2,
            'orchestrator_installation_records_total{connector="github",side="read"}': 14,
            'orchestrator_installation_records_total{connector="github",side="written"}': 12,
            'orchestrator_installation_records_total{connector="github",side="deleted"}': 4,
            'orchestrator_installation_written_bytes_total{connector="github"}': 180,
        }


def test_what_plugins_say_they_moved_never_adds_up_to_more_than_the_totals_hold(drivers, ready, metrics):
    """1,100 streams of the most that is recorded of each are more than a BIGINT."""
    most, streams = 2**53 - 1, 1100
    for _ in range(2):
        run = runs.request(drivers, ready)
        with drivers.db.connection() as connection:
            connection.execute(
                text("""
                    INSERT INTO orchestrator.run_streams
                        (org_id, run_id, stream, records_read, records_written, records_deleted, bytes)
                    SELECT org_id, id, 's' || number, :most, :most, :most, :most
                    FROM orchestrator.runs, generate_series(1, :streams) number WHERE finished_at IS NULL
                """),
                {"most": most, "streams": streams},
            )
        runs.cancel(drivers, run)
    found = shown(metrics, "orchestrator_installation_records", "orchestrator_installation_written")
    assert len(found) == 4
    assert set(found.values()) == {float(2 * streams * most)}


def test_counters_of_the_installation_do_not_go_back_where_history_is_pruned(drivers, ready, meltano, metrics):
    meltano.outputs = [counted(side, "users", 7) for side in Source]
    for _ in range(2):
        runs.execute(drivers, ready, runs.request(drivers, ready))
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.runs SET finished_at = finished_at - interval '400 days'"))
    before = shown(metrics, "orchestrator_installation_r")
    assert runs.prune(drivers, ready.org_id, keep=timedelta(days=90)) > 0
    assert shown(metrics, "orchestrator_installation_r") == before


def test_where_the_database_is_away_what_the_worker_counted_is_still_told(drivers, metrics, monkeypatch):
    def away(*_arguments, **_more):
        raise DatabaseAwayError("gone")

    monkeypatch.setattr(drivers.db, "anonymous", away)
    found = shown(metrics, "orchestrator_")
    assert found["orchestrator_database_up"] == 0
    assert found["orchestrator_worker_slots"] == 4
    assert not any(name.startswith("orchestrator_installation") for name in found)
