"""What two plugins agree on before they meet."""

import json
from dataclasses import replace

import pytest

from orchestrator.domains.catalog import rules


@pytest.fixture
def pair(salesforce, warehouse):
    """A source's variant and a destination's, with these encodings and without tombstones."""

    def of(writes, reads):
        source, destination = salesforce.variant, warehouse.variant
        return replace(source, batch=writes, tombstones=False), replace(destination, batch=reads, tombstones=False)

    return of


@pytest.mark.parametrize(
    ("writes", "reads", "chosen"),
    [
        pytest.param(("csv+gzip", "jsonl+gzip"), ("jsonl+gzip", "csv+gzip"), "csv+gzip", id="as the source prefers"),
        pytest.param(("csv+gzip", "jsonl+gzip"), ("jsonl+gzip",), "jsonl+gzip", id="the best that both can"),
        pytest.param(("csv",), ("csv+gzip",), None, id="packed is another encoding"),
        pytest.param((), ("csv+gzip",), None, id="a source of records"),
        pytest.param(("csv+gzip",), (), None, id="a destination of records"),
    ],
)
def test_the_source_writes_the_first_of_its_encodings_that_the_destination_reads(pair, writes, reads, chosen):
    assert rules.encoding(*pair(writes, reads)) == chosen


def test_both_plugins_are_told_the_encoding_and_the_folder(pair):
    both = rules.agreed_settings(*pair(("csv+gzip",), ("csv+gzip",)), folder="file:///run/batches")
    expected = {
        "batch_config": {
            "encoding": {"format": "csv", "compression": "gzip"},
            "storage": {"root": "file:///run/batches"},
        }
    }
    assert both == (expected, expected)
    plain, _ = rules.agreed_settings(*pair(("jsonl",), ("jsonl",)), folder="file:///run/batches")
    assert plain["batch_config"]["encoding"] == {"format": "jsonl", "compression": "none"}


def test_a_loader_whose_file_lists_json_lines_gets_them_from_a_source_that_does(edited):
    def list_it(side):
        return lambda document: document["x-catalog"]["variants"][side].update(batch=["jsonl+gzip"])

    edited("salesforce", list_it("orchestrator"))
    catalog = edited("warehouse", list_it("meltanolabs"))
    source, destination = catalog.get("salesforce").variant, catalog.get("warehouse").variants["meltanolabs"]
    (given, taken) = rules.agreed_settings(source, destination, folder="file:///run/batches")
    assert given["batch_config"] == taken["batch_config"] == {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": "file:///run/batches"},
    }  # fmt: skip


def test_a_loader_that_reads_batch_files_knows_their_folder_whoever_the_source_is(pair):
    for writes in ((), ("jsonl",)):
        given, taken = rules.agreed_settings(*pair(writes, ("csv+gzip",)), folder="file:///run/batches")
        assert given == {}
        assert taken["batch_config"]["storage"] == {"root": "file:///run/batches"}


def test_nothing_is_said_of_batches_to_a_loader_that_reads_none(pair):
    assert rules.agreed_settings(*pair(("csv+gzip",), ()), folder="file:///run/batches") == ({}, {})


@pytest.mark.parametrize(("announces", "understands"), [(True, True), (True, False), (False, True)])
def test_deletions_are_announced_where_both_know_how(pair, announces, understands):
    source, destination = pair((), ())
    given, taken = rules.agreed_settings(
        replace(source, tombstones=announces), replace(destination, tombstones=understands), folder=""
    )
    assert given == ({"hard_deletes": True} if announces and understands else {})
    assert taken == {}


def test_only_a_loader_that_looks_after_earlier_rows_is_told_of_streams_that_go_on(warehouse):
    ours, others = warehouse.variants["orchestrator"], warehouse.variants["meltanolabs"]
    kept = {"notes_file": "notes.json"}
    assert rules.continued_settings(ours, ["a", "b"], notes="notes.json") == kept | {"continued_streams": ["a", "b"]}
    assert rules.continued_settings(ours, [], notes="notes.json") == kept
    assert rules.continued_settings(others, ["a"], notes="notes.json") == {}


def test_a_loader_that_keeps_others_out_is_told_whose_schema_it_is(warehouse):
    ours, others = warehouse.variants["orchestrator"], warehouse.variants["meltanolabs"]
    assert rules.claim_settings(ours, "int_1") == {"claimed_by": "Orchestrator integration int_1"}
    assert rules.claim_settings(others, "int_1") == {}


def test_more_names_than_an_environment_variable_holds_are_cut_short(warehouse):
    names = [f"{number:05} \u00fc {'x' * 90}" for number in range(2_000)]
    told = rules.continued_settings(warehouse.variant, names, notes="")["continued_streams"]
    assert told == names[: len(told)]
    assert len(told) > 500
    assert len(json.dumps(told)) < 128 * 1024
