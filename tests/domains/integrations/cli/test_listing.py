"""What is connected: listing, showing, switching, deleting, restoring, editing."""

import json

import pytest

from orchestrator.domains.integrations import service
from orchestrator.domains.integrations.types import NewIntegration
from tests.fixtures.drivers import TOKEN


def test_an_empty_list_says_how_to_begin(command):
    answer = command("integrations", "list")
    assert (answer.code, answer.out) == (0, "")
    assert "orchestrator connectors list" in answer.err
    assert command("integrations", "list", "--json").json == []


def test_the_list_says_how_each_one_is(command, drivers, ready):
    service.connect(drivers, ready)
    [row] = command("integrations", "list").rows
    line = " ".join(row)
    assert "Our code" in line
    assert "● connected" in line
    assert "2 of 2" in line
    [document] = command("integrations", "list", "--json").json
    assert (document["name"], document["status"], document["streams"]) == (
        "Our code", "connected", {"selected": 2, "total": 2},
    )  # fmt: skip


def test_the_short_id_of_the_list_finds_it_again(command, github):
    short = command("integrations", "list").out.split()[-1]
    assert github.id.startswith(short)
    assert command("integrations", "show", short, "--json").json["id"] == github.id


def test_showing_it_says_that_the_secret_is_set_and_never_which(command, github):
    for arguments in (("integrations", "show", "Our code"), ("integrations", "show", "Our code", "--json")):
        answer = command(*arguments)
        assert answer.code == 0
        assert TOKEN not in answer.out + answer.err
    assert command("integrations", "show", "Our code", "--json").json["config"]["auth"]["token"]["set"] is True
    assert "set just now" in command("integrations", "show", "Our code").out


def test_an_unknown_name_exits_3_with_the_nearest(command, github):
    answer = command("integrations", "show", "our cod")
    assert answer.code == 3
    assert "Did you mean 'Our code'?" in answer.err


def test_an_error_is_a_document_where_json_was_asked_for(command):
    answer = command("integrations", "show", "nothing", "--json")
    assert answer.code == 3
    assert json.loads(answer.err)["error"]["code"] == "unknown_integration"


def test_switching_off_and_on(command, drivers, github):
    service.connect(drivers, github)
    assert command("integrations", "disable", "Our code").code == 0
    assert "× disabled" in command("integrations", "list").out
    assert command("integrations", "enable", "Our code", "--json").json["enabled"] is True


def test_deleting_asks_and_nobody_here_means_no(command, github):
    answer = command("integrations", "delete", "Our code")
    assert answer.code == 2
    assert "--yes" in answer.err
    assert command("integrations", "list", "--json").json


def test_a_deleted_one_is_gone_listed_as_deleted_and_comes_back_whole(command, github):
    deleted = command("integrations", "delete", "Our code", "--yes")
    assert deleted.code == 0
    assert "orchestrator integrations restore 'Our code'" in deleted.err
    assert command("integrations", "list", "--json").json == []
    assert [one["id"] for one in command("integrations", "list", "--deleted", "--json").json] == [github.id]
    assert "just now" in command("integrations", "list", "--deleted").out
    assert command("integrations", "restore", "Our code").code == 0
    assert command("integrations", "show", "Our code", "--json").json["config"]["auth"]["token"]["set"] is True


def test_what_is_to_be_forgotten_is_gone_for_good(command, github):
    assert command("integrations", "delete", "Our code", "--forget-secrets", "--yes").code == 0
    assert command("integrations", "restore", "Our code").code == 0
    assert command("integrations", "show", "Our code", "--json").json["config"]["auth"]["token"]["set"] is False


@pytest.mark.parametrize(("answer", "left"), [("n", 1), ("", 1), ("perhaps\ny", 0)], ids=["no", "enter", "yes at last"])
def test_a_person_is_asked_before_deleting(command, terminal, github, answer, left):
    screen = terminal("integrations", "delete", "Our code")
    screen.answer("Delete Our code", answer)
    assert screen.ended() == 0
    assert len(command("integrations", "list", "--json").json) == left


def test_editing_replaces_what_is_given_and_keeps_the_rest(command, drivers, place, github):
    answer = command("integrations", "edit", "Our code", "--set", "start_date=2025-02-03", "--no-test")
    assert answer.code == 0
    changed = service.find(drivers, place.org_id, "Our code")
    assert changed.config["start_date"] == "2025-02-03"
    assert changed.config["what"] == github.config["what"]
    assert service.public(drivers, changed)["auth"]["token"]["set"] is True


def test_editing_with_a_document_replaces_whole_top_level_fields(command, drivers, place, github, tmp_path):
    document = tmp_path / "new.yaml"
    document.write_text("what:\n  by: repositories\n  repositories: [octo/world]\n")
    assert command("integrations", "edit", "Our code", "-c", str(document), "--no-test").code == 0
    changed = service.find(drivers, place.org_id, "Our code")
    assert changed.config["what"]["repositories"] == ["octo/world"]
    assert changed.config["start_date"] == "2024-01-01"


def test_renaming_tests_nothing(command, github):
    answer = command("integrations", "edit", "Our code", "--name", "Code", "--json")
    assert (answer.code, answer.json["name"], answer.json["checks"]) == (0, "Code", [])


def test_editing_with_what_does_not_fit_changes_nothing(command, drivers, place, github):
    answer = command("integrations", "edit", "Our code", "--set", "start_date=soon")
    assert answer.code == 6
    assert service.find(drivers, place.org_id, "Our code").config == github.config


def test_editing_the_host_wants_the_password_again(command, drivers, place, tmp_path):
    values = {"host": "localhost", "database": "shop", "user": "etl", "password": "the-first-secret"}
    service.add(drivers, place, NewIntegration(type="postgres", name="Shop", values=values))
    answer = command("integrations", "edit", "Shop", "--set", "host=127.0.0.1", "--no-test")
    assert answer.code == 6
    assert "password: Host has changed" in answer.err
    (tmp_path / "secret").write_text("the-second-secret")
    again = ("--secret", f"password=@{tmp_path / 'secret'}")
    assert command("integrations", "edit", "Shop", "--set", "host=127.0.0.1", *again, "--no-test").code == 0


def test_editing_without_a_person_and_without_fields_says_how(command, github):
    answer = command("integrations", "edit", "Our code")
    assert answer.code == 2
    assert "--config FILE" in answer.err


def test_an_edited_draft_that_passes_its_test_is_connected(
    command, drivers, place, salesforce_fields, meltano, tmp_path
):
    meltano.catalog = {"streams": []}
    wrong = {**salesforce_fields, "auth": {**salesforce_fields["auth"], "client_secret": "wrong-secret"}}
    document, secret = tmp_path / "fields.json", tmp_path / "secret"
    document.write_text(json.dumps(wrong))
    secret.write_text(salesforce_fields["auth"]["client_secret"])
    assert command("add", "salesforce", "-c", str(document)).code == 7
    fixed = command("integrations", "edit", "Salesforce", "--secret", f"auth.client_secret=@{secret}")
    assert fixed.code == 0
    assert service.find(drivers, place.org_id, "Salesforce").setup_state.value == "connected"
