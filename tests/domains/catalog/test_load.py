"""Reading a folder of connector files."""

import json
import shutil
import sys

import pytest

from orchestrator.domains.catalog import service
from orchestrator.domains.catalog.errors import BrokenConnectorError, UnknownConnectorError
from orchestrator.domains.catalog.types import Kind


def put(path, *keys, value):
    def change(document):
        place = document
        for key in (path, *keys)[:-1]:
            place = place[key]
        place[(path, *keys)[-1]] = value

    return change


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "/: is not JSON: Expecting value (line 1, column 1).", id="empty"),
        pytest.param(b'{"title": ', "/: is not JSON: Expecting value (line 1, column 11).", id="cut off"),
        pytest.param(b"\xff\xfe{}", "/: is not a text in UTF-8.", id="another encoding"),
        pytest.param(b"\x80abc", "/: is not a text in UTF-8.", id="not a text"),
        pytest.param(b"[" * 200_000, "/: is nested too deeply.", id="nested without end"),
        pytest.param(b"[]", "/: [] is not of type 'object'", id="a list"),
        pytest.param(b"null", "/: None is not of type 'object'", id="null"),
    ],
)
def test_a_corrupt_file_is_named_and_the_others_still_work(schemas, content, reason):
    (schemas / "connectors" / "github.json").write_bytes(content)
    catalog = service.load(schemas / "connectors")
    assert [(file.file, file.reasons) for file in catalog.broken] == [("github.json", (reason,))]
    assert set(catalog.connectors) == {"duckdb", "jsonl", "parquet", "postgres", "salesforce", "warehouse"}


def test_a_file_that_cannot_be_read_is_named(schemas):
    path = schemas / "connectors" / "github.json"
    path.unlink()
    path.mkdir()
    (file,) = service.load(schemas / "connectors").broken
    assert file.reasons == ("/: can't be read: Is a directory.",)


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        pytest.param(put("x-catalog", "status", value="soon"), "/x-catalog/status", "is not one of", id="bad status"),
        pytest.param(put("x-catalog", "colour", value="red"), "/x-catalog", "colour", id="unknown card field"),
        pytest.param(
            put("properties", "start_date", "x-grop", value="what"),
            "/properties/start_date",
            "x-grop",
            id="mistyped keyword",
        ),
        pytest.param(
            put("properties", "start_date", "writeOnly", value=True),
            "/properties/start_date",
            "",
            id="half a secret",
        ),
        pytest.param(
            put("x-checks", 0, "url", value="http://api.github.com"),
            "/x-checks/0/url",
            "does not match",
            id="plain http",
        ),
        pytest.param(put("additionalProperties", value=True), "/additionalProperties", "False was expected", id="open"),
    ],
)
def test_an_invalid_file_says_where_and_why(edited, change, pointer, words):
    (file,) = edited("github", change).broken
    assert any(reason.startswith(f"{pointer}: ") and words in reason for reason in file.reasons), file.reasons
    assert all(len(reason) < 300 for reason in file.reasons)


def test_a_new_valid_file_works_without_being_recorded(edited):
    catalog = edited("github", put("x-catalog", "status", value="beta"))
    assert catalog.broken == ()
    assert catalog.get("github").status == "beta"


def test_recorded_files_load_without_the_schema_library(schemas, monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    catalog = service.load(schemas / "connectors")
    assert catalog.broken == ()
    assert len(catalog.connectors) == 7


def test_a_changed_meta_schema_makes_the_record_void(schemas):
    path = schemas / "connector.schema.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "required": ["x-new"]}), "utf-8")
    assert len(service.load(schemas / "connectors").broken) == 7


def test_without_a_record_every_file_is_validated(schemas):
    (schemas / "connectors.sha256").unlink()
    catalog = service.load(schemas / "connectors")
    assert catalog.broken == ()


def test_a_wrong_file_can_not_pass_under_a_recorded_name(schemas):
    shutil.copy(schemas / "connectors" / "jsonl.json", schemas / "connectors" / "other.json")
    catalog = service.load(schemas / "connectors")
    assert [file.reasons for file in catalog.broken] == [("/x-catalog/name: is 'jsonl', but the file is other.json.",)]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("salesfroce", "Did you mean salesforce?", id="typing mistake"),
        pytest.param("GitHub", "Did you mean github?", id="capitals"),
        pytest.param("zzz", "See what there is: orchestrator connectors list.", id="nothing like it"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(catalog, name, hint):
    with pytest.raises(UnknownConnectorError) as caught:
        catalog.get(name)
    assert caught.value.hint == hint
    assert caught.value.exit_code == 3


def test_a_broken_connector_is_not_called_unknown(schemas):
    (schemas / "connectors" / "github.json").write_bytes(b"{")
    with pytest.raises(BrokenConnectorError, match=r"github\.json can't be used: /: is not JSON"):
        service.load(schemas / "connectors").get("github")
    with pytest.raises(UnknownConnectorError):
        service.load(schemas / "connectors").get("gitlab")


def test_sources_and_destinations_are_told_apart(catalog):
    assert [connector.title for connector in catalog.of(Kind.SOURCE)] == ["GitHub", "Postgres", "Salesforce"]
    assert [connector.name for connector in catalog.of(Kind.DESTINATION)] == ["duckdb", "jsonl", "parquet", "warehouse"]


def test_a_connector_can_be_printed_without_its_whole_file(salesforce):
    assert len(repr(salesforce)) < 700
    assert salesforce.namespace == "tap_salesforce"


@pytest.mark.parametrize("pattern", ["ok", "^ok", "ok$"])
def test_a_pattern_for_a_part_of_a_text_breaks_the_file(edited, pattern):
    broken = edited("jsonl", lambda document: document["properties"]["folder"].update(pattern=pattern)).broken
    assert [file.name for file in broken] == ["jsonl"]
    assert "/properties/folder/pattern" in broken[0].reasons[0]


def test_a_name_with_a_line_break_at_its_end_breaks_the_file(edited):
    broken = edited(
        "jsonl", lambda document: document["x-catalog"]["variants"]["orchestrator"].update(plugin="target-x\n")
    )
    assert [file.name for file in broken.broken] == ["jsonl"]
