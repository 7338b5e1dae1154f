import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.drivers.meltano.output import (
    MESSAGE_LIMIT,
    BlockCompleted,
    Level,
    LogLine,
    Metric,
    Source,
    clean,
    read,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def parsed(**fields):
    return read(json.dumps(fields).encode(), now=lambda: NOW)


def test_a_log_line_has_its_speaker_level_time_and_stream():
    line = parsed(
        event="Reading", producer=True, level="warning", timestamp="2026-02-03T04:05:06.5Z", stream_name="users"
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
        pytest.param({"producer": True, "consumer": False}, Source.TAP, id="the producer of a run"),
        pytest.param({"producer": False, "consumer": True}, Source.TARGET, id="the consumer of a run"),
        pytest.param(
            {"_logger": "<x meltano.plugin.stderr.extractors.tap-x (INFO)>"}, Source.TAP, id="tap under invoke"
        ),
        pytest.param(
            {"_logger": "<x meltano.plugin.stderr.loaders.target-x>"}, Source.TARGET, id="target under invoke"
        ),
        pytest.param({}, Source.MELTANO, id="anybody else"),
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
    metric = parsed(consumer=True, **fields)

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
        event="Block run completed", success=False, err="Loader failed", exit_codes={"loaders": 2}, duration_seconds=1.5
    )

    assert block == BlockCompleted(at=NOW, success=False, seconds=1.5, error="Loader failed", loader_code=2)


def test_the_exception_of_a_plugin_is_part_of_its_line():
    line = parsed(
        event="Sync failed", level="error", producer=True, plugin_exception={"type": "KeyError", "message": "'id'"}
    )

    assert (line.message, line.level) == ("Sync failed: KeyError: 'id'", Level.ERROR)


def test_plain_lines_have_the_level_they_begin_with():
    assert read(b"CRITICAL it broke").level is Level.CRITICAL
    assert read(b"2026-11-21T08:03:03.0Z [info     ] meltano      Meltano 4.4.1").message == "Meltano 4.4.1"
    assert parsed(event="ERROR no access", producer=True, level="info").level is Level.ERROR


def test_control_characters_and_colours_do_not_come_through():
    assert clean("\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07tab\tnew\nline\r\x00") == "red tab\tnew\nline"


def test_a_long_message_is_cut():
    assert len(clean("x" * 100_000)) < MESSAGE_LIMIT + 50


def test_redaction_sees_the_text_as_it_was_said():
    line = json.dumps({"event": 'pw is a"b', "producer": True}).encode()
    assert read(line, redact=lambda text: text.replace('a"b', "•")).message == "pw is •"


def test_an_empty_line_is_nothing():
    assert read(b" \r") is None


jsons = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
names = st.sampled_from(
    [
        "event",
        "level",
        "timestamp",
        "producer",
        "exit_codes",
        "err",
        "success",
        "metric_info",
        "exception",
        "duration_seconds",
    ]
)


@given(
    st.binary(max_size=200)
    | st.dictionaries(names, jsons | st.just("Block run completed")).map(lambda x: json.dumps(x).encode())
)
def test_garbage_never_raises(line):
    output = read(line)
    assert output is None or isinstance(output, LogLine | Metric | BlockCompleted)
