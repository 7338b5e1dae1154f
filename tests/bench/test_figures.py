"""Medians, ratios and promises of the Salesforce benchmark."""

import json

import pytest

from bench.salesforce.figures import Figures, Run, Summary
from bench.salesforce.pipelines import Kind


def a_run(*, rows=200_000, wall=2.0, cpu=1.0, **more):
    facts = {"postgres_cpu": 2.0, "org_cpu": 0.5, "rss": 150.0, "rss_largest": 80.0, **more}
    return Run(rows=rows, wall=wall, cpu={"tap": cpu / 4, "target": cpu * 3 / 4}, **facts)


def a_summary(name, kind=Kind.OURS, *, rows=200_000, walls=(2.0,), cpu=1.0, keyed=True):
    return Summary(
        name=name, title=name.title(), kind=kind, runs=[a_run(rows=rows, wall=w, cpu=cpu) for w in walls], keyed=keyed
    )


def figures(*, rows=1_000_000, sync_wall=20.0, sync_cpu=10.0, pipe_cpu=5.0):
    return Figures(
        ways=[
            a_summary("limit_1", Kind.LIMIT, rows=rows, cpu=4.0),
            a_summary("tap_target", rows=rows, cpu=pipe_cpu),
            a_summary("sync", rows=rows, walls=(sync_wall,), cpu=sync_cpu),
            a_summary("quick_peer", Kind.PEER, walls=(100.0,), cpu=80.0),  # 2,000 records/s
            a_summary("lean_peer", Kind.PEER, walls=(200.0,), cpu=50.0),
            a_summary("file_peer", Kind.PEER, walls=(1.0,), cpu=0.1, keyed=None),
        ]
    )


def test_one_slow_run_of_three_changes_nothing():
    assert a_summary("x", walls=(2.0, 9.0, 2.5)).rate == 200_000 / 2.5


def test_cpu_is_told_for_200_000_records_whatever_was_run_and_adds_up_over_the_programs():
    ran = a_summary("x", rows=1_000_000, cpu=10.0)
    assert ran.cpu == pytest.approx(2.0)
    assert ran.cpu_of("tap") + ran.cpu_of("target") == pytest.approx(2.0)


def test_ratios_compare_rates_and_records_per_cpu_second_whatever_the_number_of_records():
    assert figures().ratios() == {
        "tap_target_vs_limit_cpu": 0.8,  # 4 s against 5 s for a million
        "tap_target_vs_leanest_limit_cpu": None,  # it took no part
        "sync_vs_best_peer_rate": 25.0,  # 50,000 records/s against 2,000 of the quick one
        "sync_vs_best_peer_cpu": 25.0,  # 2 s against 50 s for 200,000 of the lean one
    }


def test_a_peer_that_loads_into_files_is_no_measure_for_loading_a_warehouse():
    assert figures().best_peer(lambda way: way.rate).name == "quick_peer"


def test_without_peers_there_is_nothing_to_compare_with_and_nothing_missed():
    alone = Figures(ways=[way for way in figures().ways if way.kind is not Kind.PEER])
    assert alone.ratios()["sync_vs_best_peer_rate"] is None
    assert [kept for _, _, kept in alone.judged()] == [True, None, None]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        pytest.param({}, [True, True, True], id="all reached exactly or more"),
        pytest.param({"pipe_cpu": 5.1}, [False, True, True], id="the pipe costs too much"),
        pytest.param({"sync_wall": 20.1}, [True, False, True], id="the sync is too slow"),
        pytest.param({"sync_cpu": 12.6}, [True, True, False], id="the sync costs too much"),
    ],
)
def test_promises_are_judged_from_a_million_records(change, kept):
    assert [verdict for _, _, verdict in figures(**change).judged()] == kept


def test_below_a_million_records_nothing_is_judged_where_starting_is_most_of_it():
    small = figures(rows=200_000, sync_wall=100.0)
    assert [kept for _, _, kept in small.judged()] == [None, None, None]


def test_the_document_has_what_is_promised_by_name_and_is_json():
    document = json.loads(json.dumps(figures().document()))
    assert {"tap_target_vs_limit_cpu", "sync_vs_best_peer_rate", "sync_vs_best_peer_cpu"} <= document.keys()
    for pipeline in document["pipelines"].values():
        assert {"records_per_s", "cpu_s_per_200k", "peak_rss_mb"} <= pipeline.keys()
    assert document["pipelines"]["sync"]["vs_best_peer_rate"] == 25.0
    assert document["pipelines"]["limit_1"]["vs_limit_cpu"] == 1.0
    assert document["best_peer_by_rate"] == "quick_peer"
    assert document["best_peer_by_cpu"] == "lean_peer"
