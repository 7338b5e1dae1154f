"""How peers are led to the org and the warehouse; what they do there is measured, not tested."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from bench.salesforce.peers import PEERS, airbyte, dlt, singer, surroundings
from bench.salesforce.pipelines import Lab, UnavailableError
from bench.salesforce.source import Source

APP = {
    "client_id": "the id",
    "client_secret": "the client's secret",
    "refresh_token": "the refresh token",
    "username": "someone@example.com",
    "password": "p&ss=w/rd",
    "security_token": "the security token",
}
SECRETS = [APP[name] for name in ("client_secret", "refresh_token", "password", "security_token")]
DISCOVERED = {
    "streams": [
        {
            "tap_stream_id": name,
            "schema": {"properties": {"Id": {}, "SystemModstamp": {}}},
            "metadata": [
                {"breadcrumb": [], "metadata": {"valid-replication-keys": ["SystemModstamp"]}},
                {"breadcrumb": ["properties", "Id"], "metadata": {"inclusion": "automatic"}},
            ],
        }
        for name in ("Account", "Contact")
    ]
}


class Org:
    """What a peer needs to know of an org."""

    app, url = APP, "http://127.0.0.1:1"

    def authority(self):
        return "a certificate"


@pytest.fixture
def lab(tmp_path):
    """A lab whose peers are installed already: each program only says what the tap would discover."""
    source = Source(org=Org(), name="Contact", fields={"Id": "text", "Paid": "numeric"}, rows=3)
    warehouse = SimpleNamespace(url="postgresql+psycopg://loader:its%2Fsecret@/warehouse?host=%2Frun%2Fdb&port=5433")
    for name in ("ingestr", "dlt", "airbyte", "tap-salesforce--singer-io", "target-postgres--meltanolabs"):
        programs = surroundings.place(tmp_path, name) / "bin"
        programs.mkdir(parents=True)
        (programs.parent / surroundings.READY).touch()
        tap = programs / "tap-salesforce"
        tap.write_text(f"#!/bin/sh\necho '{json.dumps(DISCOVERED)}'\n")
        tap.chmod(0o700)
    return Lab(at=None, source=source, warehouse=warehouse, folder=tmp_path, keep=tmp_path)


@pytest.fixture(params=PEERS, ids=lambda peer: peer.name)
def attempt(request, lab):
    return request.param.begin(lab, "bench_1")


def test_no_secret_is_on_a_command_line(attempt):
    said = "\n".join(str(part) for one in attempt.chain for part in one.argv)
    assert [secret for secret in [*SECRETS, "its%2Fsecret"] if secret in said] == []


def test_files_of_a_run_are_nobody_elses(attempt, lab):
    own = lab.folder / "bench_1"
    assert own.stat().st_mode & 0o077 == 0
    secret = [file for file in own.iterdir() if any(secret in file.read_text() for secret in [*SECRETS, "loader"])]
    assert [file.name for file in secret if file.stat().st_mode & 0o077] == []


def test_a_peer_goes_through_the_org_to_salesforce_and_trusts_it(attempt):
    for one in attempt.chain:
        assert one.env["HTTPS_PROXY"] == Org.url
        assert Path(one.env["REQUESTS_CA_BUNDLE"]).read_text() == "a certificate"


def test_a_peer_starts_with_nothing_of_this_shell(monkeypatch, lab):
    monkeypatch.setenv("DESTINATION_URI", "somewhere else")
    monkeypatch.setenv("A_PERSONS", "own")
    for peer in PEERS:
        for one in peer.begin(lab, f"bench_{peer.name}").chain:
            assert "A_PERSONS" not in one.env
            assert one.env.get("DESTINATION_URI") != "somewhere else"
            assert one.env["HOME"] != os.environ.get("HOME")


def test_nothing_of_a_run_stays_for_the_next_one(attempt, lab):
    for one in attempt.chain:
        assert {one.env[name] for name in ("HOME", "TMPDIR", "DLT_DATA_DIR")} == {str(lab.folder / "bench_1")}
        assert one.cwd == lab.folder / "bench_1"


def test_a_peer_loads_into_the_schema_it_is_given_or_says_how_many_arrived(attempt):
    assert attempt.schema == "bench_1"
    assert (attempt.table is None) == (attempt.counted is not None)


def test_the_loaders_table_keeps_the_name_that_the_source_gave_it(lab):
    assert singer.SINGER.begin(lab, "bench_1").table == "Contact"
    assert dlt.DLT.begin(lab, "bench_2").table == "contact"


def test_the_singer_tap_reads_one_stream_by_its_replication_key():
    (entry,) = singer.catalog(DISCOVERED, "Contact")["streams"]
    assert entry["tap_stream_id"] == "Contact"
    assert entry["metadata"][0]["metadata"] == {
        "valid-replication-keys": ["SystemModstamp"],
        "selected": True,
        "replication-method": "INCREMENTAL",
        "replication-key": "SystemModstamp",
    }


def test_a_tap_that_discovers_nothing_is_unavailable_and_says_why(lab):
    tap = surroundings.place(lab.keep, "tap-salesforce--singer-io") / "bin" / "tap-salesforce"
    tap.write_text("#!/bin/sh\necho no such org >&2; exit 1\n")
    with pytest.raises(UnavailableError, match="no such org"):
        singer.SINGER.begin(lab, "bench_1")


def test_ingestrs_addresses_hold_every_character_of_a_secret(lab):
    named = dlt.addresses(APP, lab.warehouse.url)
    (ingestr,) = dlt.INGESTR.begin(lab, "bench_1").chain
    assert named.items() <= ingestr.env.items()
    asked = parse_qs(urlsplit(named["SOURCE_URI"]).query)
    assert (asked["password"], asked["token"]) == ([APP["password"]], [APP["security_token"]])
    assert named["DESTINATION_URI"] == "postgresql://loader:its%2Fsecret@%2Frun%2Fdb:5433/warehouse"


def test_the_warehouses_address_works_for_libpq(server):
    url = surroundings.libpq_url(server.url("orchestrator").get_secret_value())
    with psycopg.connect(url) as database:
        assert database.execute("SELECT current_database()").fetchone() == ("orchestrator",)


def test_airbyte_is_forced_to_use_bulk():
    assert airbyte.config(APP)["force_use_bulk_api"] is True
    assert [one["stream"]["name"] for one in airbyte.catalog("Contact")["streams"]] == ["Contact"]


def test_records_that_airbyte_says_twice_count_once(tmp_path):
    said = [{"type": "RECORD", "record": {"data": {"Id": name}}} for name in ("003a", "003b", "003a")]
    lines = ["not json", json.dumps({"type": "LOG", "log": {}}), *map(json.dumps, said)]
    file = tmp_path / "records.jsonl"
    file.write_text("\n".join(lines))
    assert airbyte.arrived(file) == 2


@pytest.mark.parametrize("name", ["ingestr", "dlt", "airbyte"])
def test_requirements_are_pinned_and_hashed_and_name_no_registry(name):
    text = surroundings.requirements(name).read_text()
    pinned = [line for line in text.splitlines() if not line.startswith((" ", "#"))]
    assert pinned
    assert all("==" in line for line in pinned)
    assert text.count("--hash=sha256:") >= len(pinned)
    assert "://" not in text
    assert "index" not in [line.split("==")[0].strip("-") for line in pinned]


def test_what_cannot_be_installed_is_unavailable_and_leaves_nothing_that_looks_ready(tmp_path, monkeypatch):
    listed = tmp_path / "nothing.txt"
    listed.write_text("nothing==1.0\n")  # without a hash
    monkeypatch.setattr(surroundings, "requirements", lambda _: listed)
    with pytest.raises(UnavailableError, match=r"nothing cannot be installed here: .*hash"):
        surroundings.program(tmp_path, "nothing", "nothing")
    assert not (surroundings.place(tmp_path, "nothing") / surroundings.READY).exists()
