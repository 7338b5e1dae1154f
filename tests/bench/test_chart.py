"""The picture of the Salesforce benchmark."""

import xml.etree.ElementTree as ET

from bench.salesforce import chart
from bench.salesforce.pipelines import Kind
from tests.bench.test_figures import a_summary

SVG = "{http://www.w3.org/2000/svg}"


def drawn(ways, **more):
    return ET.fromstring(chart.svg(ways, **{"title": "Contacts", "foot": "2 CPUs", **more}))


def bars(picture, kind):
    return [float(bar.get("width")) for bar in picture.iter(f"{SVG}rect") if bar.get("class") == kind]


def test_bars_are_as_long_as_the_figures_are_large():
    picture = drawn([a_summary("limit_1", Kind.LIMIT, walls=(1.0,), cpu=1.0), a_summary("sync", walls=(2.0,), cpu=4.0)])
    [limit_rate, limit_cpu], [sync_rate, sync_cpu] = bars(picture, "limit"), bars(picture, "ours")
    assert round(limit_rate / sync_rate, 1) == 2.0
    assert round(sync_cpu / limit_cpu, 1) == 4.0


def test_a_tiny_figure_is_still_seen():
    picture = drawn([a_summary("limit_1", Kind.LIMIT), a_summary("slow", Kind.PEER, walls=(1e6,))])
    assert min(bars(picture, "peer")) >= 1


def test_the_limit_comes_first_then_ours_then_peers_each_fastest_first():
    ways = [
        a_summary("slow", Kind.PEER, walls=(9.0,)),
        a_summary("quick", Kind.PEER),
        a_summary("ours"),
        a_summary("limit", Kind.LIMIT),
    ]
    texts = [text.text for text in drawn(ways).iter(f"{SVG}text")]
    assert [text for text in texts if text in {"Limit", "Ours", "Quick", "Slow"}] == ["Limit", "Ours", "Quick", "Slow"]


def test_names_are_text_whatever_is_in_them():
    picture = drawn([a_summary("a < b & c")], title='5 "quoted" <contacts>')
    assert "A < B & C" in [text.text for text in picture.iter(f"{SVG}text")]
    assert picture.get("aria-label") == '5 "quoted" <contacts>'


def test_dark_pages_have_colours_of_their_own():
    assert "prefers-color-scheme: dark" in chart.svg([a_summary("x")], title="", foot="")
