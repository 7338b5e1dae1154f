"""Pipelines take turns; a peer that fails is left out, ours must not fail."""

import pytest

from bench.lab.stopwatch import ProgramFailedError
from bench.salesforce import running
from bench.salesforce.pipelines import Kind, Pipeline
from bench.salesforce.running import Entry, Outcome
from bench.salesforce.warehouse import End, WrongEndError
from tests.bench.test_figures import a_run


def entry(name, kind=Kind.OURS):
    def begin(lab, schema):
        raise AssertionError("nothing starts here")

    return Entry(lab=None, pipeline=Pipeline(name=name, title=name, kind=kind, begin=begin))


@pytest.fixture
def turns(monkeypatch):
    """Who ran, in order; names in `broken` fail with the error there."""
    taken, broken = [], {}

    def once(lab, pipeline):
        taken.append(pipeline.name)
        if pipeline.name in broken:
            raise broken[pipeline.name]
        return Outcome(run=a_run(), end=End(rows=200_000, differing=(), keyed=True))

    monkeypatch.setattr(running, "once", once)
    return taken, broken


def test_ours_warms_up_once_and_each_round_begins_with_another(turns):
    taken, _ = turns
    found, left_out = running.in_turns([entry("limit"), entry("sync"), entry("peer", Kind.PEER)], 3)
    assert taken == [
        "limit",
        "sync",
        *("limit", "sync", "peer"),
        *("sync", "peer", "limit"),
        *("peer", "limit", "sync"),
    ]
    assert [len(one.runs) for one in found] == [3, 3, 3]
    assert left_out == {}


def test_a_peer_that_fails_is_left_out_with_its_reason_and_not_tried_again(turns):
    taken, broken = turns
    broken["peer"] = ProgramFailedError("peer ended with status 1")
    found, left_out = running.in_turns([entry("sync"), entry("peer", Kind.PEER)], 2)
    assert [one.name for one in found] == ["sync"]
    assert left_out == {"peer": "peer ended with status 1"}
    assert taken.count("peer") == 1


def test_ours_with_another_end_than_the_source_is_an_error_not_a_figure(turns):
    _, broken = turns
    broken["sync"] = WrongEndError("19,999 of 20,000")
    with pytest.raises(WrongEndError):
        running.in_turns([entry("sync")], 1)
