"""Templates of addresses, and where they may point."""

import pytest
from pydantic import SecretStr

from orchestrator.domains.catalog import rules
from orchestrator.domains.catalog.errors import UnfilledTemplateError
from orchestrator.domains.catalog.rules.addresses import is_private
from orchestrator.domains.catalog.types import Session

SESSION = Session(access_token=SecretStr("t"), instance_url="https://acme.my.salesforce.com")


@pytest.mark.parametrize(
    ("template", "config", "address"),
    [
        (
            "{domain}/services/oauth2/token",
            {"domain": "acme.my.salesforce.com"},
            "https://acme.my.salesforce.com/services/oauth2/token",
        ),
        ("{domain}/x", {"domain": "http://127.0.0.1:9001/"}, "http://127.0.0.1:9001/x"),
        (
            "{domain}/v{api_version}",
            {"domain": "h.salesforce.com", "api_version": "62.0"},
            "https://h.salesforce.com/v62.0",
        ),
        ("{instance_url}/x", {}, "https://acme.my.salesforce.com/x"),
        ("https://api.github.com/{what.name}", {"what": {"name": "a/b?c"}}, "https://api.github.com/a%2Fb%3Fc"),
        ("{host}", {"host": "db.acme.com"}, "db.acme.com"),
        ("{port}", {"port": 5432}, "5432"),
        ("https://api.github.com", {}, "https://api.github.com"),
    ],
)
def test_a_template_is_filled_from_the_configuration_and_the_session(template, config, address):
    assert rules.filled(template, config, SESSION) == address


@pytest.mark.parametrize(
    ("template", "config"),
    [
        ("{domain}/x", {}),
        ("{auth.name}/x", {"auth": "text"}),
        ("{auth}/x", {"auth": {}}),
        ("{token}", {"token": SecretStr("hunter2")}),
        ("{instance_url}/x", {}),
    ],
)
def test_a_template_with_a_gap_is_refused(template, config):
    with pytest.raises(UnfilledTemplateError) as caught:
        rules.filled(template, config)
    assert caught.value.problems[0][0] == template.split("}")[0][1:]


@pytest.mark.parametrize(
    ("domain", "audience"),
    [
        ("login.salesforce.com", "https://login.salesforce.com"),
        ("test.salesforce.com", "https://test.salesforce.com"),
        ("acme.my.salesforce.com", "https://login.salesforce.com"),
        ("acme--dev.sandbox.my.salesforce.com", "https://test.salesforce.com"),
        ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
    ],
)
def test_a_signed_request_is_for_the_server_that_salesforce_names(salesforce, domain, audience):
    token = salesforce.sign_ins["jwt_bearer"].token
    assert rules.audience(token, {"domain": domain}) == audience


def test_other_grants_have_no_audience(salesforce):
    assert rules.audience(salesforce.sign_ins["password"].token, {"domain": "login.salesforce.com"}) is None


def test_the_way_to_sign_in_is_that_of_the_configuration(salesforce, catalog):
    assert rules.sign_in(salesforce, {"auth": {"auth_type": "jwt_bearer"}}).title == "JWT bearer (server to server)"
    assert rules.sign_in(salesforce, {}) is None
    assert rules.sign_in(catalog.get("github"), {}).auth_type == "token"
    assert rules.sign_in(catalog.get("github"), {}).token is None
    assert rules.sign_in(catalog.get("postgres"), {}) is None


@pytest.mark.parametrize(
    ("host", "allow_private", "allowed"),
    [
        ("acme.my.salesforce.com", False, True),
        ("ACME.MY.SALESFORCE.COM.", False, True),
        ("salesforce.com", False, False),
        ("evilsalesforce.com", False, False),
        ("acme.my.salesforce.com.evil.example", False, False),
        ("127.0.0.1", False, False),
        ("127.0.0.1", True, True),
        ("localhost", True, True),
        ("::1", True, True),
        ("10.0.0.1", True, False),
        ("localhost.evil.example", True, False),
    ],
)
def test_a_connector_calls_its_own_hosts_only(salesforce, host, allow_private, allowed):
    assert rules.host_allowed(salesforce, host, allow_private=allow_private) is allowed


def test_a_connector_without_hosts_of_its_own_may_call_any(catalog):
    assert rules.host_allowed(catalog.get("postgres"), "db.acme.com")


@pytest.mark.parametrize(
    ("host", "private"),
    [("localhost", True), ("192.168.1.1", True), ("169.254.169.254", True), ("8.8.8.8", False), ("db.acme.com", False)],
)
def test_addresses_of_this_network_are_known_by_name(host, private):
    assert is_private(host) is private


@pytest.mark.parametrize(
    ("name", "config", "hosts"),
    [
        ("postgres", {"host": "db.acme.com"}, [("db.acme.com", 5432)]),
        ("postgres", {"host": "2600::1", "port": 6000}, [("2600::1", 6000)]),
        ("salesforce", {"domain": "acme.my.salesforce.com"}, [("acme.my.salesforce.com", 443)]),
        ("salesforce", {"domain": "http://127.0.0.1:9001"}, [("127.0.0.1", 9001)]),
        ("salesforce", {"domain": "http://127.0.0.1"}, [("127.0.0.1", 80)]),
        ("github", {}, []),
        ("jsonl", {}, []),
        ("warehouse", {"connection": {"server": "built_in", "host": "ignored.example"}}, []),
        ("warehouse", {"connection": {"server": "own", "host": "w.acme.com", "port": 6543}}, [("w.acme.com", 6543)]),
    ],
)
def test_every_host_a_plugin_connects_to_is_known_beforehand(catalog, name, config, hosts):
    assert [tuple(one) for one in rules.dialled(catalog.get(name), config)] == hosts
