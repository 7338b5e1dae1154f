import json

import pytest

from orchestrator.drivers.meltano.answers import FirstData
from orchestrator.drivers.meltano.process import LINE_LIMIT


def message(type_, **more):
    return json.dumps({"type": type_, **more}).encode() + b"\n"


@pytest.mark.parametrize(
    ("chunks", "found"),
    [
        pytest.param([message("SCHEMA", stream="users"), message("STATE", value={})], None, id="none of them"),
        pytest.param([message("RECORD", stream="users", record={})], "users", id="a record"),
        pytest.param([message("BATCH", stream="users", manifest=[])], "users", id="a batch"),
        pytest.param([b'{"type": "REC', b'ORD", "stream": "users"}\n'], "users", id="a record in two chunks"),
        pytest.param([message("RECORD", record={})], "?", id="a record of no stream"),
        pytest.param([b'["RECORD"]\n', b"RECORD\n", b'"RECORD"\n'], None, id="what isn't Singer"),
        pytest.param([b'{"type": "RECORD", "x": "' + b"x" * LINE_LIMIT + b'"}\n'], "?", id="a record too long to read"),
        pytest.param([b'{"x": "' + b"x" * LINE_LIMIT + b'"}\n'], None, id="something else too long to read"),
    ],
)
def test_the_first_record_or_batch_is_seen(chunks, found):
    seen = FirstData()
    assert any(seen(chunk) for chunk in chunks) is (found is not None)
    assert seen.stream == found


@pytest.mark.parametrize("later", [b'ut in the middle"}\n', b"Terminated\n", message("RECORD", stream="others")])
def test_what_comes_after_the_first_record_until_the_extractor_has_ended_changes_nothing(later):
    seen = FirstData()
    assert seen(message("RECORD", stream="users") * 2 + b'{"type": "RECORD", "stream": "users", "record": "c')
    assert seen(later)
    assert seen.stream == "users"
