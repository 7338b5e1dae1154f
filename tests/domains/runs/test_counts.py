"""What a run counts is told and stored, however much of it a plugin makes up."""

from orchestrator.domains.runs import queries, service
from orchestrator.domains.runs.service import recording
from orchestrator.domains.runs.types import RunStatus
from orchestrator.drivers.meltano.output import Source
from orchestrator.kernel.db import DatabaseAwayError
from tests.fakes.meltano import counted, said, singer_state

STREAMS = 2_000


def test_a_plugin_that_counts_thousands_of_streams_is_not_listened_to_at_every_word(drivers, ready, meltano):
    sides = (Source.TAP, Source.TARGET)
    meltano.outputs = [counted(side, f"stream {number}", 1) for number in range(STREAMS) for side in sides]
    meltano.states = [singer_state(users={"at": 1})]
    told = []

    run = service.execute(drivers, ready, service.request(drivers, ready), on_progress=told.append)

    assert run.status is RunStatus.SUCCEEDED
    assert {(one.read, one.written) for one in service.counts(drivers, run)} == {(1, 1)}
    assert len(service.counts(drivers, run)) == len(told[-1].counts) == STREAMS, "in the end all is told and stored"
    assert len(told) < STREAMS / 10


def test_what_could_not_be_stored_while_the_database_was_away_is_stored_later(drivers, ready, meltano, monkeypatch):
    monkeypatch.setattr(recording, "_FLUSH_EVERY", 0.0)
    real, away = queries.save_counts, [True]

    def save(tx, attempt, counts):
        if away and counts:
            away.clear()
            raise DatabaseAwayError("gone")
        real(tx, attempt, counts)

    monkeypatch.setattr(queries, "save_counts", save)
    meltano.outputs = [counted(Source.TAP, "users", 5), said("the loader fails")]
    meltano.code = 1

    run = service.execute(drivers, ready, service.request(drivers, ready))

    assert not away
    assert [(one.read, one.written) for one in service.counts(drivers, run)] == [(5, 0)]
