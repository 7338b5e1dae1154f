"""JSON Lines as batch files: what the SDK's own loaders read, where a person asks for it."""

import gzip
import io
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from target_jsonl.target import TargetJsonl

WISH = {"encoding": {"format": "jsonl", "compression": "gzip"}, "batch_size": 250}


@pytest.fixture
def jsonl(configure, tmp_path):
    """A configuration that asks for files of JSON Lines."""

    def made(org, **changes):
        storage = {"root": (tmp_path / "batches").as_uri(), "prefix": "b-"}
        (tmp_path / "batches").mkdir(exist_ok=True)
        return configure(org, batch_config={**WISH, "storage": storage}, **changes)

    return made


def test_a_loader_of_the_sdk_has_every_record_of_the_files(org, jsonl, run, tmp_path):
    out = run(jsonl(org))
    said = [message for message in out.messages if message["type"] == "BATCH"]
    assert len(said) >= 4 and not out.records("Contact")
    target = TargetJsonl(config={"destination_path": str(tmp_path / "loaded")})
    target.listen(io.StringIO("".join(json.dumps(message) + "\n" for message in out.messages)))
    loaded = [json.loads(line) for line in (tmp_path / "loaded" / "Contact.jsonl").read_text().splitlines()]
    stored = dict(org.store.rows('SELECT "Id", "LastName" FROM "Contact"'))
    assert len(loaded) == 900
    assert {record["Id"]: record["LastName"] for record in loaded} == stored


def test_state_never_runs_ahead_of_the_files(org, jsonl, run):
    stamps = org.store.rows('SELECT "Id", "SystemModstamp" FROM "Contact"')
    seen: set[str] = set()
    states = 0
    for message in run(jsonl(org, window_rows=200)).messages:
        if message["type"] == "BATCH":
            for name in message["manifest"]:
                lines = gzip.decompress(Path(urlsplit(name).path).read_bytes()).splitlines()
                seen.update(json.loads(line)["Id"] for line in lines)
        elif message["type"] == "STATE" and (mark := message["value"]["bookmarks"].get("Contact")):
            states += 1
            behind = mark["replication_key_value"][:19]
            assert {key for key, stamp in stamps if stamp[:19] < behind} <= seen
    assert states >= 4
