from datetime import UTC, datetime

import pytest

from orchestrator.drivers.meltano.judge import Judge
from orchestrator.drivers.meltano.output import BlockCompleted, Level, LogLine, Metric, Source

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def line(message, level=Level.INFO, source=Source.TAP):
    return LogLine(at=NOW, source=source, level=level, message=message)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        pytest.param([line("fine")], "fine", id="the last thing said where nothing is worse"),
        pytest.param([line("broke", Level.ERROR), line("bye")], "broke", id="an error before what follows it"),
        pytest.param(
            [line("first", Level.ERROR), line("ValueError: bad date")], "ValueError: bad date", id="the exception"
        ),
        pytest.param(
            [line("Sign in again.", Level.ERROR), line('FAILURE: {"kind":"auth_expired"}', Level.ERROR)],
            "Sign in again.",
            id="words before what is for machines",
        ),
        pytest.param([line("details", Level.DEBUG)], None, id="debugging tells people nothing"),
        pytest.param([], None, id="silence"),
    ],
)
def test_people_are_told_the_most_telling_line(lines, told):
    judge = Judge()
    for one in lines:
        judge.see(one)
    assert judge.error() == told


def test_the_side_that_failed_is_heard_first():
    judge = Judge()
    judge.see(line("tap trouble", Level.ERROR))
    judge.see(line("target trouble", Level.ERROR, Source.TARGET))
    judge.see(BlockCompleted(at=NOW, success=False, seconds=1.0, loader_code=1))
    assert (judge.failed_side(), judge.error()) == (Source.TARGET, "target trouble")


def ended(**codes):
    return BlockCompleted(at=NOW, success=False, seconds=1.0, **codes)


@pytest.mark.parametrize(
    ("outputs", "code", "side", "told"),
    [
        pytest.param(
            [
                line("Reading users."),
                line("half a line", Level.ERROR, Source.TARGET),
                ended(extractor_code=-9, loader_code=1),
            ],
            1,
            Source.TAP,
            "The extractor was killed (SIGKILL) while it worked.",
            id="a killed tap, and the loader that chokes on its half line",
        ),
        pytest.param(
            [line("Loading.", source=Source.TARGET), ended(loader_code=137)],
            1,
            Source.TARGET,
            "The loader was killed (SIGKILL) while it worked.",
            id="a killed loader",
        ),
        pytest.param(
            [line("Loading.", source=Source.TARGET), line("BrokenPipeError", Level.ERROR, Source.MELTANO)],
            1,
            Source.TARGET,
            "The loader ended too early and didn't say why. Its last words: Loading.",
            id="a loader that went away while Meltano wrote to it",
        ),
        pytest.param(
            [line("Reading users.")], 137, None, "Meltano was killed (SIGKILL) while it worked.", id="a killed Meltano"
        ),
        pytest.param(
            [line("Reading users."), line("No such plugin", Level.ERROR, Source.MELTANO)],
            1,
            None,
            "No such plugin",
            id="Meltano's error before a plugin's small talk",
        ),
        pytest.param(
            [ended(extractor_code=2)], 1, Source.TAP, "The extractor ended too early and didn't say why.", id="silence"
        ),
    ],
)
def test_whoever_was_first_to_end_is_named(outputs, code, side, told):
    judge = Judge()
    for output in outputs:
        judge.see(output)
    assert (judge.failed_side(), judge.error(code)) == (side, told)


def test_only_errors_of_the_side_that_failed_are_complaints():
    judge = Judge()
    for output in (
        line("Read 401 records."),
        line("bad date", Level.ERROR),
        line("half a line", Level.ERROR, Source.TARGET),
        ended(extractor_code=1, loader_code=1),
    ):
        judge.see(output)
    assert judge.complaints() == ("bad date",)


def test_counters_of_a_side_are_added_up():
    judge = Judge()
    for value in (3, 4):
        judge.see(Metric(at=NOW, source=Source.TAP, name="record_count", kind="counter", value=value, stream="users"))
    judge.see(Metric(at=NOW, source=Source.TARGET, name="record_count", kind="counter", value=5, stream="users"))
    assert (judge.counts(Source.TAP), judge.counts(Source.TARGET)) == ({"users": 7}, {"users": 5})


def test_a_second_verdict_takes_a_success_back_and_never_a_failure():
    good = BlockCompleted(at=NOW, success=True, seconds=1.0)
    for outputs in ([good, good], [good, ended(loader_code=1)], [ended(loader_code=1), good]):
        judge = Judge()
        for output in outputs:
            judge.see(output)
        assert not judge.block.success
        assert "Two ends" in judge.block.error
        assert judge.failed_side() is (None if outputs == [good, good] else Source.TARGET)


def test_only_meltano_says_that_a_state_is_invalid():
    judge = Judge()
    for source in Source:
        judge.see(line("Received state is invalid, incremental state has not been updated", source=source))
    assert judge.invalid_states == 1


def test_counts_stay_countable_and_streams_without_end_are_not_kept(monkeypatch):
    monkeypatch.setattr("orchestrator.drivers.meltano.judge._STREAMS", 2)
    judge = Judge()
    for stream in ("a", "b", "c", "a"):
        most = 2**53 - 1
        judge.see(Metric(at=NOW, source=Source.TAP, name="record_count", kind="counter", value=most, stream=stream))
    assert judge.counts(Source.TAP) == {"a": most, "b": most}
