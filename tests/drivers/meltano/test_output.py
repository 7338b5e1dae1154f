import json
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.drivers.meltano.judge import Judge
from orchestrator.drivers.meltano.output import (
    MESSAGE_LIMIT,
    BlockCompleted,
    Level,
    LogLine,
    Metric,
    Source,
    clean,
    read,
    visible,
)
from orchestrator.drivers.meltano.redact import Redactor

NOW = datetime(2026, 1, 1, tzinfo=UTC)


TAP = "<_FixedFindCallerLogger meltano.plugin.stderr.extractors.tap-x (INFO)>"
TARGET = "<_FixedFindCallerLogger meltano.plugin.stderr.loaders.target-x (INFO)>"
RUN = "<_FixedFindCallerLogger meltano.cli.run (INFO)>"


def parsed(redact=str, **fields):
    return read(json.dumps(fields).encode(), now=lambda: NOW, redact=redact)


def test_a_log_line_has_its_speaker_level_time_and_stream():
    line = parsed(
        event="Reading", _logger=TAP, level="warning", timestamp="2026-02-03T04:05:06.5Z", stream_name="users"
    )

    assert line == LogLine(
        at=datetime(2026, 2, 3, 4, 5, 6, 500_000, tzinfo=UTC),
        source=Source.TAP,
        level=Level.WARNING,
        message="Reading",
        stream="users",
    )


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        pytest.param({"_logger": TAP}, Source.TAP, id="tap"),
        pytest.param({"_logger": TARGET}, Source.TARGET, id="target"),
        pytest.param({"_logger": RUN}, Source.MELTANO, id="Meltano"),
        pytest.param({}, Source.MELTANO, id="anybody else"),
        pytest.param({"_logger": TAP, "producer": False, "consumer": True}, Source.TAP, id="a tap that plays target"),
    ],
)
def test_the_speaker(fields, source):
    assert parsed(event="x", **fields).source is source


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(
            {"event": 'METRIC: {"type": "counter", "metric": "record_count", "value": 7, "tags": {"stream": "users"}}'},
            id="in the text",
        ),
        pytest.param(
            {
                "event": 'INFO METRIC: {"type": "counter", "metric": "record_count", "value": 7, "tags": {"endpoint": "users"}}'
            },
            id="in the text of singer-python",
        ),
        pytest.param(
            {
                "event": "METRIC",
                "metric_info": {
                    "metric_type": "counter",
                    "metric": "record_count",
                    "value": 7,
                    "tags": {"stream": "users"},
                },
            },
            id="structured",
        ),
    ],
)
def test_a_metric_is_read_from_each_of_its_forms(fields):
    metric = parsed(_logger=TARGET, **fields)

    assert isinstance(metric, Metric)
    assert (metric.source, metric.name, metric.kind, metric.value, metric.stream) == (
        Source.TARGET, "record_count", "counter", 7, "users",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["METRIC: {", "METRIC: []", 'METRIC: {"metric": 5}', 'METRIC: {"metric": "x", "value": true}']
)
def test_a_broken_metric_is_a_log_line(text):
    assert isinstance(parsed(event=text), LogLine)


def test_the_verdict_says_which_side_failed():
    block = parsed(
        event="Block run completed",
        _logger=RUN,
        success=False,
        err="Loader failed",
        exit_codes={"loaders": 2},
        duration_seconds=1.5,
    )

    assert block == BlockCompleted(at=NOW, success=False, seconds=1.5, error="Loader failed", loader_code=2)


def test_the_exception_of_a_plugin_is_part_of_its_line():
    line = parsed(
        event="Sync failed", level="error", _logger=TAP, plugin_exception={"type": "KeyError", "message": "'id'"}
    )

    assert (line.message, line.level) == ("Sync failed: KeyError: 'id'", Level.ERROR)


def test_plain_lines_have_the_level_they_begin_with():
    assert read(b"CRITICAL it broke").level is Level.CRITICAL
    assert read(b"2026-11-21T08:03:03.0Z [info     ] meltano      Meltano 4.4.1").message == "Meltano 4.4.1"
    assert parsed(event="ERROR no access", _logger=TAP, level="info").level is Level.ERROR


def test_control_characters_and_colours_do_not_come_through():
    assert clean("\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07tab\tnew\nline\r\x00") == "red tab\tnew\nline"


def test_a_long_message_is_cut():
    assert len(clean("x" * 100_000)) < MESSAGE_LIMIT + 50


@pytest.mark.parametrize(
    "between",
    [
        "",
        "\x00",
        "\x1b[1m",
        "\x1b]0;title\x07",
        "\x85",
        "\u200b",
        "\u202e",
        "\u2066",
        "\ufeff",
        "\u00ad",
        "\ufe0f",
        "\U000e0041",
    ],
    ids=ascii,
)
def test_nothing_invisible_carries_a_secret_past_the_redactor(between):
    secret = f"hunter2{between}-secret"
    redact = Redactor(["hunter2-secret"])
    metric = {"metric": secret, "type": secret, "value": 1, "tags": {"stream": secret, secret: secret}}
    outputs = [
        parsed(redact, event=f"pw={secret}", stream_name=secret, plugin_exception={"type": "E", "message": secret}),
        parsed(redact, event="METRIC", metric_info=metric),
        parsed(redact, event=f"METRIC: {json.dumps(metric)}"),
        parsed(redact, event="Block run completed", _logger=RUN, success=False, err=secret),
        read(f"pw={secret}".encode(), redact=redact),
    ]
    assert "hunter2" not in repr(outputs)
    assert [type(output) for output in outputs] == [LogLine, Metric, Metric, BlockCompleted, LogLine]


def test_a_secret_on_the_edge_of_a_long_message_is_not_cut_in_two():
    message = parsed(Redactor(["hunter2-secret"]), event="x" * (MESSAGE_LIMIT - 7) + "hunter2-secret").message
    assert "hunter2" not in message


def test_a_name_stays_on_one_line():
    assert parsed(event="x", stream_name="a\n09:00 forged\tline").stream == "a 09:00 forged line"


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN", "1e400", "-1", "9007199254740992", "9" * 400, '"5"'])
def test_a_value_nobody_can_count_with_is_no_metric(value):
    event = f'METRIC: {{"metric": "record_count", "type": "counter", "value": {value}, "tags": {{"stream": "a"}}}}'
    assert isinstance(parsed(event=event), LogLine)


def test_a_plugin_cannot_give_meltanos_verdict():
    assert isinstance(parsed(event="Block run completed", success=True, _logger=TAP), LogLine)
    assert isinstance(parsed(event="Block run completed", success=True), LogLine)


def test_a_long_line_of_blanks_is_read_at_once():
    assert parsed(event="1" + " " * 500_000 + "x", _logger=TAP).level is Level.INFO  # quadratic, it would take minutes


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "never", 5, "2026-01-01"])
def test_a_time_that_is_none_is_now(moment):
    assert parsed(event="x", timestamp=moment).at == NOW


def test_an_empty_line_is_nothing():
    assert read(b" \r") is None


jsons = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
metrics = st.fixed_dictionaries(
    {
        "metric": st.text(max_size=8) | st.just("record_count") | jsons,
        "value": st.floats() | st.integers() | jsons,
        "type": st.just("counter") | jsons,
        "tags": st.dictionaries(st.sampled_from(["stream", "endpoint", "x\x00"]) | st.text(max_size=5), jsons) | jsons,
    }
)
lines = st.fixed_dictionaries(
    {"event": st.just("Block run completed") | st.text() | metrics.map(lambda x: f"METRIC: {json.dumps(x)}") | jsons},
    optional={
        "_logger": st.sampled_from([TAP, TARGET, RUN]) | jsons,
        "level": st.sampled_from(["info", "ERROR", "fatal"]) | jsons,
        "timestamp": st.datetimes().map(lambda x: f"{x.isoformat()}+14:00") | jsons,
        "success": jsons,
        "err": st.text() | jsons,
        "exit_codes": st.dictionaries(st.sampled_from(["extractors", "loaders"]), jsons) | jsons,
        "duration_seconds": st.just(10**400) | jsons,
        "metric_info": metrics | jsons,
        "stream_name": st.text() | jsons,
        "exception": st.lists(st.dictionaries(st.sampled_from(["exc_type", "exc_value"]), jsons)) | jsons,
        "plugin_exception": st.dictionaries(st.sampled_from(["type", "message"]), jsons) | jsons,
    },
)


def texts_in(output):
    match output:
        case LogLine():
            return [output.message, output.stream or ""]
        case Metric():
            kept = [item for pair in output.tags.items() for item in pair]
            return [output.name, output.kind, output.stream or "", *(item for item in kept if isinstance(item, str))]
        case BlockCompleted():
            return [output.error or ""]


@given(
    st.binary(max_size=200)
    | st.text().map(lambda x: x.encode("utf-8", "replace"))
    | lines.map(lambda x: json.dumps(x).encode())
)
def test_whatever_comes_is_read_and_holds_nothing_invisible(line):
    output = read(line)
    judge = Judge()
    if output is not None:
        judge.see(output)
        judge.error(1)
        text = "".join(texts_in(output))
        assert {unicodedata.category(each) for each in text if each not in "\n\t"} & {
            "Cc",
            "Cs",
            "Zl",
            "Zp",
        } == set()
        assert visible(text) == text
        json.dumps(text, ensure_ascii=False).encode()
        assert all(0 <= count < 2**53 for source in Source for count in judge.counts(source).values())
