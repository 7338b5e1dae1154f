from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.entry import env_example
from orchestrator.kernel import environment
from orchestrator.kernel.errors import InvalidConfigError

NO_FILE = {"ORCHESTRATOR_ENV_FILE": "/nonexistent"}


def test_nothing_needs_to_be_set():
    found = environment.load(NO_FILE)
    assert found.organization == "default"
    assert found.database_url is None
    assert found.runs.timeout == timedelta(hours=6)
    assert not found.network.allow_private


def test_sections_come_from_double_underscores_and_known_names_keep_their_own():
    found = environment.load(
        NO_FILE
        | {
            "ORCHESTRATOR_NETWORK__ALLOW_PRIVATE": "true",
            "ORCHESTRATOR_RUNS__TIMEOUT": "90",
            "ORCHESTRATOR_HOME": "~/somewhere",
            "DATABASE_URL": "postgres://u:hunter2@h/d",
            "INTEGRATION_ENCRYPTION_KEY": "k",
            "SALESFORCE_CLIENT_ID": "an id",
            "SALESFORCE_CLIENT_SECRET": "a secret",
        }
    )
    assert found.network.allow_private
    assert found.runs.timeout == timedelta(seconds=90)
    assert found.home == Path("~/somewhere").expanduser()
    assert found.database_url is not None
    assert found.database_url.get_secret_value() == "postgres://u:hunter2@h/d"
    assert found.oauth_apps["salesforce"][1].get_secret_value() == "a secret"


def test_secrets_are_not_in_the_repr():
    found = environment.load(
        NO_FILE | {"DATABASE_URL": "postgres://u:hunter2@h/d", "INTEGRATION_ENCRYPTION_KEY": "hunter2"}
    )
    assert "hunter2" not in repr(found)


def test_every_wrong_value_is_named_without_its_content():
    with pytest.raises(InvalidConfigError) as caught:
        environment.load(
            NO_FILE | {"ORCHESTRATOR_RUNS__TIMEOUT": "soon", "ORCHESTRATOR_NETWORK__ALLOW_PRIVATE": "perhaps"}
        )
    assert {path for path, _ in caught.value.problems} == {
        "ORCHESTRATOR_RUNS__TIMEOUT",
        "ORCHESTRATOR_NETWORK__ALLOW_PRIVATE",
    }


def test_a_misspelt_setting_is_refused_with_a_suggestion():
    with pytest.raises(InvalidConfigError) as caught:
        environment.load(NO_FILE | {"ORCHESTRATOR_NETWORK__ALOW_PRIVATE": "true"})
    assert "ORCHESTRATOR_NETWORK__ALLOW_PRIVATE" in caught.value.hint


def test_a_value_that_does_not_fit_is_named_with_what_would():
    with pytest.raises(InvalidConfigError) as caught:
        environment.load(NO_FILE | {"ORCHESTRATOR_METRICS__ADDRESS": "banana"})
    [(name, why)] = caught.value.problems
    assert name == "ORCHESTRATOR_METRICS__ADDRESS"
    assert why.startswith("must be host:port")


WRONG = {
    "ORCHESTRATOR_RUNS__TIMEOUT": "soon",
    "ORCHESTRATOR_RUNS__KEEP": "1h",
    "ORCHESTRATOR_RUNS__MEMORY": "much",
    "ORCHESTRATOR_RUNS__PROCESSES": "many",
    "ORCHESTRATOR_RUNS__FILES": "1",
    "ORCHESTRATOR_QUEUE__TOTAL": "-1",
    "ORCHESTRATOR_QUEUE__ATTEMPTS": "9" * 5_000,
    "ORCHESTRATOR_HEALTH__CHECK_EVERY": "often",
    "ORCHESTRATOR_HEALTH__DISABLE_AFTER": "x",
    "ORCHESTRATOR_NETWORK__ALLOW_PRIVATE": "perhaps",
    "ORCHESTRATOR_METRICS__ADDRESS": "127.0.0.1:99999",
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("long", [False, True])
def test_a_wrong_value_is_said_in_plain_words_and_ends_as_a_wrong_option_does(name, long):
    with pytest.raises(environment.SettingsError) as caught:
        environment.load(NO_FILE | {name: 5_000 * "9" if long else WRONG[name]})
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith(f"The environment has settings that don't fit: {name}: ")
    assert not {"Input", "input", "parse", "base", "digits"} & set(caught.value.message.split())
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("name", ["DATABASE_URL", "WAREHOUSE_URL"])
def test_an_address_of_no_postgres_is_refused_without_saying_it(name):
    with pytest.raises(environment.SettingsError, match=name) as caught:
        environment.load(NO_FILE | {name: "postgres://u:hunter2@h:port/db"})
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint} {caught.value.facts}"


def test_a_value_that_is_no_text_is_refused():
    with pytest.raises(environment.SettingsError, match="ORCHESTRATOR_HOME: must be text"):
        environment.load(NO_FILE | {"ORCHESTRATOR_HOME": "\udcff"})


def test_bounds_are_said_with_their_units():
    with pytest.raises(environment.SettingsError, match="must be at least 256 MiB"):
        environment.load(NO_FILE | {"ORCHESTRATOR_RUNS__MEMORY": "1 KiB"})
    with pytest.raises(environment.SettingsError, match="must be at least 1 day"):
        environment.load(NO_FILE | {"ORCHESTRATOR_RUNS__KEEP": "1h"})


def test_an_empty_variable_counts_as_not_set():
    assert environment.load(NO_FILE | {"DATABASE_URL": "", "ORCHESTRATOR_RUNS__TIMEOUT": ""}).database_url is None


def test_the_env_file_is_read_and_the_environment_wins(tmp_path):
    file = tmp_path / ".env"
    file.write_text("ORCHESTRATOR_ORGANIZATION=from-file\nORCHESTRATOR_RUNS__LEASE=60\n")
    found = environment.load({"ORCHESTRATOR_ENV_FILE": str(file), "ORCHESTRATOR_ORGANIZATION": "from-environment"})
    assert (found.organization, found.runs.lease) == ("from-environment", timedelta(seconds=60))


def test_the_example_file_is_up_to_date():
    shown = (environment.project_root() / ".env.example").read_text(encoding="utf-8")
    assert shown == env_example.render(), "run: make env"


def test_the_example_file_sets_nothing(tmp_path):
    example = environment.project_root() / ".env.example"
    assert environment.load({"ORCHESTRATOR_ENV_FILE": str(example)}) == environment.load(NO_FILE)
