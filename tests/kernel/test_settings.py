from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.entry import env_example
from orchestrator.kernel import settings
from orchestrator.kernel.errors import InvalidConfigError

NO_FILE = {"ORCHESTRATOR_ENV_FILE": "/nonexistent"}


def test_nothing_needs_to_be_set():
    found = settings.load(NO_FILE)
    assert found.organization == "default"
    assert found.database_url is None
    assert found.runs.timeout == timedelta(hours=6)
    assert not found.network.allow_private


def test_sections_come_from_double_underscores_and_known_names_keep_their_own():
    found = settings.load(
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
    found = settings.load(
        NO_FILE | {"DATABASE_URL": "postgres://u:hunter2@h/d", "INTEGRATION_ENCRYPTION_KEY": "hunter2"}
    )
    assert "hunter2" not in repr(found)


def test_every_wrong_value_is_named_without_its_content():
    with pytest.raises(InvalidConfigError) as caught:
        settings.load(
            NO_FILE | {"ORCHESTRATOR_RUNS__TIMEOUT": "soon", "ORCHESTRATOR_NETWORK__ALLOW_PRIVATE": "perhaps"}
        )
    assert {path for path, _ in caught.value.problems} == {
        "ORCHESTRATOR_RUNS__TIMEOUT",
        "ORCHESTRATOR_NETWORK__ALLOW_PRIVATE",
    }


def test_a_misspelt_setting_is_refused_with_a_suggestion():
    with pytest.raises(InvalidConfigError) as caught:
        settings.load(NO_FILE | {"ORCHESTRATOR_NETWORK__ALOW_PRIVATE": "true"})
    assert "ORCHESTRATOR_NETWORK__ALLOW_PRIVATE" in caught.value.hint


def test_a_value_that_does_not_fit_is_named_with_what_would():
    with pytest.raises(InvalidConfigError) as caught:
        settings.load(NO_FILE | {"ORCHESTRATOR_METRICS__ADDRESS": "banana"})
    [(name, why)] = caught.value.problems
    assert name == "ORCHESTRATOR_METRICS__ADDRESS"
    assert why.startswith("'banana' is no host:port")


def test_an_empty_variable_counts_as_not_set():
    assert settings.load(NO_FILE | {"DATABASE_URL": "", "ORCHESTRATOR_RUNS__TIMEOUT": ""}).database_url is None


def test_the_env_file_is_read_and_the_environment_wins(tmp_path):
    file = tmp_path / ".env"
    file.write_text("ORCHESTRATOR_ORGANIZATION=from-file\nORCHESTRATOR_RUNS__LEASE=60\n")
    found = settings.load({"ORCHESTRATOR_ENV_FILE": str(file), "ORCHESTRATOR_ORGANIZATION": "from-environment"})
    assert (found.organization, found.runs.lease) == ("from-environment", timedelta(seconds=60))


def test_the_example_file_is_up_to_date():
    shown = (settings.project_root() / ".env.example").read_text(encoding="utf-8")
    assert shown == env_example.render(), "run: make env"


def test_the_example_file_sets_nothing(tmp_path):
    example = settings.project_root() / ".env.example"
    assert settings.load({"ORCHESTRATOR_ENV_FILE": str(example)}) == settings.load(NO_FILE)
