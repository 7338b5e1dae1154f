"""Secrets stay with the place they were given for."""

import pytest

from orchestrator.domains.catalog import rules

BEFORE = {"host": "db.acme.com", "port": 5432, "database": "shop", "user": "etl", "tls": {"mode": "prefer"}}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n"
VERIFIED = {"mode": "verify-full", "certificate_authority": CERTIFICATE}


@pytest.fixture
def postgres(catalog):
    return catalog.get("postgres")


@pytest.mark.parametrize(
    ("change", "title"),
    [
        pytest.param({"host": "evil.example"}, "Host", id="host"),
        pytest.param({"port": 5433}, "Port", id="port"),
        pytest.param({"user": "root"}, "User", id="user"),
        pytest.param({"tls": {"mode": "require"}}, "Encryption", id="tls"),
    ],
)
def test_a_secret_is_given_again_where_it_would_go_somewhere_else(postgres, change, title):
    ((path, sentence),) = rules.to_give_again(postgres, BEFORE, {**BEFORE, **change}, kept=["password"])
    assert path == "password"
    assert sentence.startswith(f"{title} has changed")
    assert "Give Password again" in sentence


def test_another_authority_is_another_place(postgres):
    after = {**BEFORE, "tls": {**VERIFIED, "certificate_authority": CERTIFICATE.replace("D", "E")}}
    assert rules.to_give_again(postgres, {**BEFORE, "tls": VERIFIED}, after, kept=["password"])


@pytest.mark.parametrize("change", [{}, {"database": "other"}, {"filter_schemas": ["a"]}, {"port": None, "tls": None}])
def test_what_says_nothing_of_the_place_may_change_and_defaults_are_no_change(postgres, change):
    assert rules.to_give_again(postgres, BEFORE, {**BEFORE, **change}, kept=["password"]) == ()


def test_a_secret_that_is_given_anew_is_not_asked_for(postgres):
    assert rules.to_give_again(postgres, BEFORE, {**BEFORE, "host": "new.acme.com"}, kept=[]) == ()


def test_only_the_secrets_of_the_chosen_way_are_asked_for(salesforce, sign_in_by_key):
    after = {**sign_in_by_key, "domain": "evil.my.salesforce.com"}
    found = rules.to_give_again(salesforce, sign_in_by_key, after, kept=["auth.client_secret", "auth.password"])
    assert [problem.path for problem in found] == ["auth.client_secret"]


def test_an_address_beside_secrets_that_binds_none_breaks_the_file(edited):
    broken = edited("postgres", lambda document: document["properties"]["host"].pop("x-binds-secrets")).broken
    assert "x-binds-secrets" in broken[0].reasons[0]


def test_a_secret_that_binds_secrets_breaks_the_file(edited):
    mark = {"x-binds-secrets": True}
    broken = edited("postgres", lambda document: document["properties"]["password"].update(mark)).broken
    assert "this is a secret" in broken[0].reasons[0]
