import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.drivers.meltano.catalog import MalformedCatalogError, parse


def entry(**more):
    return {
        "tap_stream_id": "users",
        "stream": "users",
        "schema": {"type": "object", "properties": {"id": {"type": "integer"}}},
        "metadata": [{"breadcrumb": [], "metadata": {"selected": True, "valid-replication-keys": ["id"]}}],
        "key_properties": ["id"],
        **more,
    }


def printed(*entries, **more):
    return json.dumps({"streams": entries, **more}).encode()


def test_a_catalog_comes_back_as_it_was_printed_with_all_it_holds():
    catalog = {"streams": [entry(extra={"x": 1.5}), {"tap_stream_id": "bare"}], "version": 1}
    assert parse(b"Starting\n" + json.dumps(catalog).encode()) == catalog


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{",
        b"[]",
        b'{"streams": {}}',
        b"\xff\xfe",
        b'{"streams": [], "x": NaN}',
        b'{"streams": [], "x": 1e999}',
        b"[" * 100_000,
    ],
    ids=range(8),
)
def test_what_is_none_is_none(answer):
    assert parse(answer) is None


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        ("not an object", "streams.0"),
        ({"schema": {}}, "streams.0: it has no name"),
        ({"stream": ""}, "streams.0: it has no name"),
        (entry(tap_stream_id=5), "streams.0.tap_stream_id"),
        (entry(schema=[]), "streams.0.schema"),
        (entry(schema={"properties": None}), "streams.0.schema.properties"),
        (entry(metadata=[{"breadcrumb": 5, "metadata": {}}]), "streams.0.metadata.0.breadcrumb"),
        (
            entry(metadata=[{"breadcrumb": [], "metadata": {"forced-replication-method": []}}]),
            "forced-replication-method",
        ),
        (
            entry(metadata=[{"breadcrumb": [], "metadata": {"valid-replication-keys": {"a": 1}}}]),
            "valid-replication-keys",
        ),
        (entry(key_properties=5), "streams.0.key_properties"),
        (entry(extra=json.loads("[" * 150 + "]" * 150)), "more than 100 levels"),
    ],
)
def test_a_catalog_that_cannot_be_worked_with_is_refused_with_the_place(broken, where):
    with pytest.raises(MalformedCatalogError, match=where) as caught:
        parse(printed(broken))
    assert "not an object" not in str(caught.value)


jsons = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(entry())) | st.text(max_size=3), inner)
    ),
    max_leaves=20,
)


@given(st.binary(max_size=100) | st.lists(jsons).map(lambda x: json.dumps({"streams": x}).encode()))
def test_whatever_comes_it_is_a_catalog_or_none(answer):
    try:
        found = parse(answer)
    except MalformedCatalogError:
        return
    assert found is None or all(isinstance(each, dict) for each in found["streams"])
