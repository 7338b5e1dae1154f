"""Streams and fields from the command line; tests, discovery and the preview beside them."""

import pytest
import yaml

from orchestrator.domains.integrations import service
from tests.fixtures.drivers import TEAMS, TOKEN, USERS


def selected(command):
    return [one["stream"] for one in command("streams", "Our code", "--selected", "--json").json]


def test_the_list_shows_what_is_read_and_how(command, ready):
    answer = command("streams", "Our code")
    assert answer.code == 0
    users = next(line for line in answer.out.splitlines() if line.startswith("users"))
    assert users.split() == ["users", "●", "yes", "incremental", "id", "at", "3/3"]


def test_before_a_discovery_it_says_what_to_do(command, github):
    answer = command("streams", "Our code")
    assert (answer.code, answer.out) == (0, "")
    assert "orchestrator discover 'Our code'" in answer.err


def test_patterns_select_and_deselect(command, ready):
    assert command("streams", "Our code", "deselect", "*").code == 0
    assert selected(command) == []
    answer = command("streams", "Our code", "select", "TEAM?")
    assert answer.code == 0
    assert "Selected: teams. 1 of 2 streams are read." in answer.err
    assert selected(command) == ["teams"]


def test_a_dot_names_a_field(command, ready):
    answer = command("streams", "Our code", "deselect", "users.name", "--json")
    assert [(one["stream"], one["fields_left_out"]) for one in answer.json] == [("users", ["name"])]
    assert "2/3" in command("streams", "Our code", "list", "users").out
    fields = command("streams", "Our code", "list", "users", "--fields").out
    assert [line.split()[0:3] for line in fields.splitlines()[1:]] == [
        ["users.id", "●", "always"], ["users.at", "●", "yes"], ["users.name", "○", "no"],
    ]  # fmt: skip
    assert command("streams", "Our code", "select", "users.*").code == 0
    assert command("streams", "Our code", "--json", "list", "users").json[0]["fields_left_out"] == []


def test_fields_are_in_the_document_where_they_are_wanted(command, ready):
    [users] = command("streams", "Our code", "list", "users", "--fields", "--json").json
    assert users["fields"][0] == {"field": "id", "read": True, "type": "integer"}


@pytest.mark.parametrize("pattern", ["user", "users.nam", "*.nothing"])
def test_what_fits_nothing_changes_nothing(command, ready, pattern):
    answer = command("streams", "Our code", "deselect", "teams", pattern)
    assert answer.code == 3
    assert pattern in answer.err
    assert selected(command) == ["teams", "users"]


def test_a_stream_is_read_in_another_way(command, ready):
    assert command("streams", "Our code", "mode", "full_table", "users").code == 0
    assert command("streams", "Our code", "list", "users", "--json").json[0]["mode"] == "full_table"


def test_a_way_the_source_does_not_have_is_refused(command, ready):
    answer = command("streams", "Our code", "mode", "incremental", "*")
    assert answer.code == 6
    assert "'teams' can't be read as incremental" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [("select",), ("deselect",), ("mode",), ("mode", "full_table"), ("mode", "sideways", "users")],
    ids=["select nothing", "deselect nothing", "no mode", "mode of nothing", "no such mode"],
)
def test_half_a_command_shows_a_whole_one(command, ready, arguments):
    answer = command("streams", "Our code", *arguments)
    assert answer.code == 2
    assert "For example: orchestrator streams 'Our code'" in answer.err


def test_a_listing_of_what_is_not_there_exits_3(command, ready):
    assert command("streams", "Our code", "list", "nothing").code == 3


def test_discovery_tells_what_changed(command, ready, meltano):
    meltano.catalog = {"streams": [USERS, {**TEAMS, "tap_stream_id": "repos", "stream": "repos"}]}
    answer = command("discover", "Our code")
    assert answer.code == 0
    facts = dict(line.split(maxsplit=1) for line in answer.out.splitlines())
    assert facts["added"].strip() == "1 (repos)"
    assert facts["gone"].strip() == "1 (teams)"
    assert command("discover", "Our code", "--json").json == {"total": 2, "added": [], "gone": [], "left_out": []}


def test_names_that_would_steer_a_terminal_are_left_out_and_markup_is_shown_as_it_is_written(command, github, meltano):
    names = ["evil[/b]x", "esc\x1b]0;X\x07", "new\nline", ":boom:"]
    meltano.catalog = {"streams": [{**TEAMS, "tap_stream_id": name, "stream": name} for name in names]}
    answer = command("discover", "Our code")
    assert answer.code == 0
    assert answer.err.splitlines()[:2] == [
        "Left out: esc]0;X: its name holds control characters.",
        "Left out: new line: its name holds control characters.",
    ]
    assert "2 (:boom:, evil[/b]x)" in answer.out
    listed = command("streams", "Our code").out
    assert [line.split()[0] for line in listed.splitlines()[1:]] == [":boom:", "evil[/b]x"]
    assert "\x1b" not in answer.out + answer.err + listed


def test_a_failed_discovery_says_why(command, ready, meltano):
    meltano.catalog, meltano.error = None, "Bad credentials"
    answer = command("discover", "Our code")
    assert answer.code == 1
    assert "Bad credentials" in answer.err


def test_the_preview_is_yaml_with_the_environment_as_comments(command, ready, real_preview):
    answer = command("render", "Our code")
    assert answer.code == 0
    document = yaml.safe_load(answer.out)
    assert [plugin["name"] for plugin in document["plugins"]["extractors"]] == ["tap-github"]
    assert [plugin["name"] for plugin in document["plugins"]["loaders"]] == ["target-postgres-copy"]
    assert "# TAP_GITHUB_AUTH_TOKEN=***" in answer.out
    assert "# TARGET_POSTGRES_COPY_DEFAULT_TARGET_SCHEMA=our_code" in answer.out


def test_the_preview_shows_no_secret_and_needs_no_key(command, ready, real_preview, drivers):
    drivers.settings.key_file.unlink()
    drivers.__dict__.pop("keys", None)
    warehouse = drivers.warehouse_url.get_secret_value()
    for arguments in (("render", "Our code"), ("render", "Our code", "--json")):
        answer = command(*arguments)
        assert answer.code == 0
        assert TOKEN not in answer.out
        assert warehouse not in answer.out


def test_the_preview_of_a_source_we_sign_in_for_does_not_sign_in(
    command, real_preview, drivers, place, salesforce_fields, org
):
    from orchestrator.domains.integrations.types import NewIntegration

    service.add(drivers, place, NewIntegration(type="salesforce", name="CRM", values=salesforce_fields))
    org.stats.reset()
    answer = command("render", "CRM", "--json")
    assert answer.code == 0
    assert '"access_token": "***"' in answer.json["variables"]["TAP_SALESFORCE_AUTH"]
    assert answer.json["variables"]["TAP_SALESFORCE_HARD_DELETES"] == "true", "the warehouse's loader understands them"
    assert answer.json["variables"]["TARGET_POSTGRES_COPY_CLAIMED_BY"].startswith("Orchestrator integration int_")
    assert not org.stats.requests


def test_the_preview_says_how_records_go_between_the_plugins(command, ready, real_preview):
    assert command("render", "Our code", "--json").json["encoding"] is None
    assert command("render", "Our code").out.startswith("# records go as RECORD messages\n# meltano.yml\n")


@pytest.fixture
def real_preview(drivers, meltano, monkeypatch):
    """The driver's own rendering, which starts nothing."""
    from orchestrator.drivers.meltano.runner import Meltano

    monkeypatch.setattr(meltano, "preview", Meltano(home=drivers.settings.home).preview, raising=False)
