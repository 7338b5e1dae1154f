"""Secrets apart, together and masked."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from orchestrator.domains.catalog import rules, service
from orchestrator.kernel.environment import project_root

SALESFORCE = service.load(project_root() / "schemas" / "connectors").get("salesforce")


def test_secrets_are_taken_out_by_their_path(salesforce, sign_in_by_key):
    config, secrets = rules.split(salesforce, sign_in_by_key)
    assert config["auth"] == {"auth_type": "client_credentials", "client_id": "3MVG9"}
    assert {name: secret.get_secret_value() for name, secret in secrets.items()} == {
        "auth.client_secret": "s3cret-of-the-app"
    }
    assert sign_in_by_key["auth"]["client_secret"] == "s3cret-of-the-app"


def test_a_secret_under_the_wrong_way_to_sign_in_is_still_taken_out(salesforce):
    config, secrets = rules.split(salesforce, {"auth": {"auth_type": "???", "password": "hunter2"}})
    assert config == {"auth": {"auth_type": "???"}}
    assert list(secrets) == ["auth.password"]


def test_an_empty_secret_is_neither_here_nor_there(salesforce):
    config, secrets = rules.split(
        salesforce, {"auth": {"auth_type": "password", "password": "", "security_token": None}}
    )
    assert config == {"auth": {"auth_type": "password"}}
    assert secrets == {}


def test_a_secret_of_a_wrong_shape_does_not_stay_behind(salesforce):
    config, secrets = rules.split(salesforce, {"auth": {"password": {"is": "hunter2"}}})
    assert config == {"auth": {}}
    assert "auth.password" in secrets


def test_secrets_of_a_choice_within_a_choice_are_found(warehouse):
    assert rules.secret_names(warehouse) == ("connection.password",)
    config, secrets = rules.split(warehouse, {"connection": {"server": "own", "password": "p"}})
    assert config == {"connection": {"server": "own"}}
    assert secrets == {"connection.password": SecretStr("p")}


def test_the_secrets_of_the_chosen_way_are_known(salesforce):
    assert rules.secret_names(salesforce, {"auth": {"auth_type": "jwt_bearer"}}) == ("auth.private_key",)
    assert set(rules.secret_names(salesforce)) == {
        "auth.client_secret",
        "auth.refresh_token",
        "auth.private_key",
        "auth.password",
        "auth.security_token",
    }


def test_people_see_only_whether_a_secret_is_set(salesforce):
    config = {"auth": {"auth_type": "password", "username": "etl@acme.com"}, "streams": ["Account"]}
    since = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    shown = rules.public(salesforce, config, {"auth.password": since, "auth.security_token": None})
    assert shown == {
        "auth": {
            "auth_type": "password",
            "username": "etl@acme.com",
            "password": {"set": True, "updated_at": "2026-11-21T08:00:00+00:00"},
            "security_token": {"set": True, "updated_at": None},
            "client_secret": {"set": False, "updated_at": None},
        },
        "streams": ["Account"],
    }
    assert "password" not in config["auth"]


def test_a_secret_that_slipped_into_the_config_is_not_shown(salesforce):
    shown = rules.public(salesforce, {"auth": {"auth_type": "password", "private_key": "hunter2"}}, {})
    assert "hunter2" not in repr(shown)


WAYS = st.sampled_from(sorted(SALESFORCE.sign_ins))
SECRETS = st.dictionaries(
    st.sampled_from([name.split(".")[1] for name in rules.secret_names(SALESFORCE)]),
    st.text(min_size=1).map(SecretStr),
)
PLAIN = st.dictionaries(st.sampled_from(["domain", "start_date", "streams"]), st.text() | st.lists(st.text()))


@settings(deadline=None)
@given(way=WAYS, secrets=SECRETS, plain=PLAIN)
def test_joining_undoes_splitting(way, secrets, plain):
    values = {**plain, "auth": {"auth_type": way, **secrets}}
    config, taken = rules.split(SALESFORCE, values)
    assert set(taken) == {f"auth.{name}" for name in secrets}
    assert config["auth"] == {"auth_type": way}
    assert rules.join(config, taken) == values
