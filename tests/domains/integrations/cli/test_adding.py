"""`orchestrator add` without a person, and what it refuses."""

import io
import json
import sys

import pytest

from orchestrator.domains.integrations import service
from orchestrator.drivers.meltano.errors import DiscoveryError
from tests.fixtures.drivers import over_tcp


def entry(name):
    return {
        "tap_stream_id": name,
        "stream": name,
        "key_properties": ["Id"],
        "schema": {"type": "object", "properties": {"Id": {"type": "string"}}},
        "metadata": [{"breadcrumb": [], "metadata": {"inclusion": "available"}}],
    }


@pytest.fixture(autouse=True)
def _objects(meltano):
    meltano.catalog = {"streams": [entry(name) for name in ("Account", "Contact", "Opportunity", "Attachment")]}


@pytest.fixture
def written(tmp_path):
    """Write a file; its path."""

    def write(text, name="fields.json"):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text), "utf-8")
        return str(path)

    return write


@pytest.fixture
def listed(drivers, place):
    """Names and set-up states of what is there."""
    return lambda: [(one.name, one.setup_state.value) for one in service.listing(drivers, place.org_id)]


def test_a_document_is_saved_tested_discovered_and_its_suggested_streams_are_selected(
    command, salesforce_fields, written, listed
):
    answer = command("add", "salesforce", "--config", written(salesforce_fields), "--json")
    assert answer.code == 0
    assert listed() == [("Salesforce", "connected")]
    assert answer.json["status"] == "connected"
    assert answer.json["passed"] is True
    assert [check["verdict"] for check in answer.json["checks"]] == ["passed"] * 4
    assert answer.json["streams"] == {"selected": 3, "total": 4}
    assert answer.json["schema"] == "salesforce"


def test_people_see_each_check_and_what_to_try_next(command, salesforce_fields, written):
    answer = command("add", "salesforce", "--config", written(salesforce_fields), "--name", "Our CRM")
    assert answer.code == 0
    assert "✓ Sign in" in answer.err
    assert "orchestrator sync 'Our CRM'" in answer.err
    assert "● connected" in answer.out
    assert "3 of 4" in answer.out


def test_a_second_one_gets_a_name_of_its_own(command, salesforce_fields, written, listed):
    for _ in range(2):
        assert command("add", "salesforce", "-c", written(salesforce_fields), "--no-test", "--no-discover").code == 0
    assert listed() == [("Salesforce", "draft"), ("Salesforce 2", "draft")]


def test_yaml_from_stdin_works_too(command, salesforce_fields, monkeypatch, listed):
    text = f"""
domain: {salesforce_fields["domain"]}
start_date: 2020-01-01
auth:
  auth_type: client_credentials
  client_id: {salesforce_fields["auth"]["client_id"]}
  client_secret: {{$env: THE_SECRET}}
"""
    monkeypatch.setenv("THE_SECRET", salesforce_fields["auth"]["client_secret"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert command("add", "salesforce", "--config", "-").code == 0
    assert listed() == [("Salesforce", "connected")]


def test_fields_can_come_one_by_one_with_secrets_from_file_and_environment(
    command, salesforce_fields, written, monkeypatch, drivers, place
):
    auth = salesforce_fields["auth"]
    monkeypatch.setenv("THE_ID", auth["client_id"])
    answer = command(
        "add", "salesforce",
        "--set", "auth.auth_type=client_credentials",
        "--set", f"domain={salesforce_fields['domain']}",
        "--set", "start_date=2020-01-01",
        "--set", "max_workers=2",
        "--set", "streams=Account, Contact",
        "--secret-env", "auth.client_id=THE_ID",
        "--secret", f"auth.client_secret=@{written(auth['client_secret'], 'secret')}",
    )  # fmt: skip
    assert answer.code == 0
    config = service.find(drivers, place.org_id, "Salesforce").config
    assert (config["max_workers"], config["streams"]) == (2, ["Account", "Contact"])


def test_a_secret_is_refused_on_the_command_line_and_not_repeated(command, salesforce_fields, written, listed):
    for option in ("--set", "--secret"):
        answer = command(
            "add", "salesforce", "-c", written(salesforce_fields), option, "auth.client_secret=s3cr3t-value"
        )
        assert answer.code == 2
        assert "auth.client_secret is a secret" in answer.err
        assert "s3cr3t-value" not in answer.err + answer.out
    assert listed() == []


def test_every_wrong_field_is_named_and_nothing_is_saved(command, salesforce_fields, written, listed):
    wrong = {**salesforce_fields, "start_date": "yesterday", "max_workers": 99, "colour": "blue"}
    answer = command("add", "salesforce", "--config", written(wrong))
    assert answer.code == 6
    for path in ("start_date:", "max_workers:", "colour:"):
        assert path in answer.err
    assert salesforce_fields["auth"]["client_secret"] not in answer.err
    assert listed() == []


def test_a_value_of_the_wrong_type_is_named_like_any_other(command, salesforce_fields, written, listed):
    answer = command("add", "salesforce", "-c", written(salesforce_fields), "--set", "max_workers=many")
    assert answer.code == 6
    assert "'many' is not a whole number" in answer.err
    assert listed() == []


def test_a_failing_check_exits_7_with_its_reason_and_keeps_a_draft(command, salesforce_fields, written, listed):
    salesforce_fields["auth"] = {**salesforce_fields["auth"], "client_secret": "not-the-right-one"}
    answer = command("add", "salesforce", "--config", written(salesforce_fields), "--json")
    assert answer.code == 7
    assert "Sign in failed" in answer.err
    assert "kept as a draft" in answer.err
    assert "not-the-right-one" not in answer.out + answer.err
    assert [check["verdict"] for check in answer.json["checks"]] == ["passed", "failed", "skipped", "skipped"]
    assert listed() == [("Salesforce", "draft")]


def test_what_is_not_tested_stays_a_draft(command, salesforce_fields, written, listed):
    assert command("add", "salesforce", "-c", written(salesforce_fields), "--no-test").code == 0
    assert listed() == [("Salesforce", "draft")]


def test_streams_can_be_named(command, salesforce_fields, written, drivers, place):
    answer = command("add", "salesforce", "-c", written(salesforce_fields), "-s", "att*", "-s", "Account", "--json")
    assert answer.code == 0
    found = service.find(drivers, place.org_id, "Salesforce")
    assert [one.name for one in service.streams(drivers, found) if one.selected] == ["Account", "Attachment"]


def test_a_stream_that_is_not_there_leaves_it_connected(command, salesforce_fields, written, listed):
    answer = command("add", "salesforce", "-c", written(salesforce_fields), "--stream", "Acount")
    assert answer.code == 3
    assert "Did you mean 'Account'?" in answer.err
    assert listed() == [("Salesforce", "connected")]


def test_a_failed_discovery_says_how_to_ask_again(command, salesforce_fields, written, meltano, listed, monkeypatch):
    def fail(*_, **__):
        raise DiscoveryError("it fell over.")

    known = {"streams": meltano.catalog["streams"]}
    answers = iter([lambda: known, fail])
    monkeypatch.setattr(meltano, "discover", lambda *_, **__: next(answers)())
    answer = command("add", "salesforce", "-c", written(salesforce_fields))
    assert answer.code == 1
    assert "it fell over" in answer.err
    assert "orchestrator discover Salesforce" in answer.err
    assert listed() == [("Salesforce", "connected")]


def test_without_a_person_and_without_fields_it_shows_how(command, listed):
    answer = command("add", "salesforce")
    assert answer.code == 2
    assert "orchestrator add salesforce --config FILE" in answer.err
    assert listed() == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("add", "salesfroce", "--set", "a=b"), 3, "Did you mean salesforce?"),
        (("add", "salesforce", "--variant", "x", "--set", "a=b"), 3, "It has orchestrator, singer-io."),
        (("add", "salesforce", "--set", "no-equals-sign"), 2, "--set takes a field and a value"),
        (("add", "salesforce", "--secret-env", "auth.client_secret=NOT_SET"), 2, "NOT_SET is not set"),
        (("add", "salesforce", "--config", "/nonexistent.json"), 2, "can't be read: No such file"),
        (("add", "salesforce", "--config", "-", "--secret", "auth.client_secret=@-"), 2, "Only one thing"),
    ],
    ids=["connector", "variant", "set", "environment", "file", "stdin twice"],
)
def test_what_makes_no_sense_is_said(command, arguments, code, said):
    answer = command(*arguments)
    assert answer.code == code
    assert said in answer.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"start_date": ', "neither JSON nor YAML"),
        ("a: [1", "neither JSON nor YAML"),
        ("just words", "holds no fields"),
        ("[1, 2]", "holds no fields"),
    ],
    ids=["cut JSON", "cut YAML", "text", "list"],
)
def test_a_document_that_is_none_is_refused(command, written, text, said):
    answer = command("add", "salesforce", "--config", written(text))
    assert answer.code == 2
    assert said in answer.err


def test_a_destination_is_added_by_the_same_command(command, drivers, place, salesforce_fields, written):
    answer = command("add", "jsonl", "--set", "folder=crm/raw", "--name", "Files", "--json")
    assert answer.code == 0
    assert answer.json["name"] == "Files"
    into = command(
        "add", "salesforce", "-c", written(salesforce_fields), "--destination", "Files", "--no-test", "--no-discover"
    )
    assert into.code == 0
    assert command("integrations", "show", "Salesforce", "--json").json["destination"] == "Files"


def test_an_unknown_destination_is_told(command, salesforce_fields, written, listed):
    answer = command("add", "salesforce", "-c", written(salesforce_fields), "--destination", "warehose")
    assert answer.code == 3
    assert "Did you mean 'warehouse'?" in answer.err
    assert listed() == []


def test_a_warehouse_of_ones_own_must_let_us_in_before_it_is_saved(command, server, tmp_path):
    with over_tcp(server) as port:
        fields = {
            "host": "localhost",
            "port": port,
            "database": "postgres",
            "user": "nobody",
            "password": "not-that-one",
        }
        document = tmp_path / "warehouse.json"
        document.write_text(json.dumps({"connection": {"server": "own", **fields}}))
        refused = command("add", "warehouse", "-c", str(document), "--name", "Mine")
        assert refused.code == 7
        assert "nobody" in refused.err
        assert "not-that-one" not in refused.err
        untested = command("add", "warehouse", "-c", str(document), "--name", "Mine", "--no-test", "--json")
        assert (untested.code, untested.json["name"]) == (0, "Mine")
