"""Checking a configuration: every wrong field, with its path, in our voice."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from orchestrator.domains.catalog import rules, service
from orchestrator.kernel.environment import project_root

PEM = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n"


def with_value(answers, path, value):
    changed = json.loads(json.dumps(answers))
    *parents, last = path.split(".")
    place = changed
    for name in parents:
        place = place[name]
    place[last] = value
    return changed


def test_a_right_configuration_has_no_problem(salesforce, sign_in_by_key):
    assert rules.validate(salesforce, sign_in_by_key) == ()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("start_date", "2024-13-01", "Start date: '2024-13-01' is not a date like 2024-01-31."),
        ("start_date", "20240131", "Start date: '20240131' is not a date like 2024-01-31."),
        ("start_date", 5, "Start date must be text, not '5'."),
        ("start_date", None, "Start date is missing."),
        ("start_date", "", "Start date is missing."),
        ("max_workers", 40, "Parallel requests: 40 is more than 32."),
        ("max_workers", 0, "Parallel requests: 0 is less than 1."),
        ("max_workers", "four", "Parallel requests must be a whole number, not 'four'."),
        ("max_workers", True, "Parallel requests must be a whole number, not yes or no."),
        ("include_deleted", "maybe", "Include deleted records must be yes or no, not 'maybe'."),
        ("include_deleted", ["x"], "Include deleted records must be yes or no."),
        ("api_type", "BULK1", "API: 'BULK1' is not one of REST, BULK2. Did you mean BULK2?"),
        ("api_type", "SOAP", "API: 'SOAP' is not one of REST, BULK2."),
        ("api_version", "sixty", "API version: 'sixty' is not a version like 62.0."),
        ("streams", "Account", "Objects must be a list, not 'Account'."),
        ("streams", ["Account", "1x"], "Objects, item 2: '1x' is not an API name like Account or Invoice__c."),
        ("streams", ["Account", "Lead", "Account"], "Objects: 'Account' is there twice."),
        ("streams", ["A" * 81], "Objects, item 1 is 81 characters long; the limit is 80."),
        ("doman", "x", "There is no field 'doman'. Did you mean 'domain'?"),
        ("xyz", 1, "There is no field 'xyz'."),
        ("auth.client_id", None, "Consumer key is missing."),
        (
            "auth.refresh_token",
            "x",
            "'refresh_token' belongs to 'Sign in with Salesforce', not to 'Client credentials'.",
        ),
        ("auth.clientid", "x", "There is no field 'auth.clientid'. Did you mean 'client_id'?"),
        ("domain", "not a host", "Salesforce domain: 'not a host' is not a host name like acme.my.salesforce.com."),
        (
            "domain",
            "https://me:pw@acme.my.salesforce.com",
            "Salesforce domain: 'https://…@acme.my.salesforce.com' is not a host name like acme.my.salesforce.com.",
        ),
        (
            "domain",
            "http://acme.my.salesforce.com",
            "Salesforce domain: 'http://acme.my.salesforce.com' is not encrypted; use https.",
        ),
        (
            "domain",
            "127.0.0.1",
            (
                "Salesforce domain: '127.0.0.1' is a private address, and the operator of this installation doesn't allow"
                " those."
            ),
        ),
        ("auth.client_id", "a\0b", "Consumer key contains a NUL character, which can't be stored."),
        (
            "auth.client_id",
            "\ud800",
            "Consumer key contains half of a character (a lone surrogate), which can't be stored.",
        ),
    ],
)
def test_a_wrong_field_is_named_with_its_path_and_one_sentence(salesforce, sign_in_by_key, path, value, message):
    found = rules.validate(salesforce, with_value(sign_in_by_key, path, value))
    assert found == ((path, message),)


def test_another_hosts_address_is_refused_and_ours_are_listed(salesforce, sign_in_by_key):
    (problem,) = rules.validate(salesforce, {**sign_in_by_key, "domain": "salesforce.com.evil.example"})
    assert "is not one of Salesforce's addresses (*.salesforce.com, " in problem.message


@pytest.mark.parametrize(
    "domain",
    [
        "login.salesforce.com",
        "acme--dev.sandbox.my.salesforce.com",
        "https://acme.my.salesforce.com/",
        "ACME.my.salesforce.com",
    ],
)
def test_salesforces_own_hosts_are_fine(salesforce, sign_in_by_key, domain):
    assert rules.validate(salesforce, {**sign_in_by_key, "domain": domain}) == ()


@pytest.mark.parametrize("domain", ["http://127.0.0.1:9001", "http://localhost:9001", "http://[::1]:9001", "127.0.0.1"])
def test_loopback_is_fine_where_the_operator_says_so(salesforce, sign_in_by_key, domain):
    answers = {**sign_in_by_key, "domain": domain}
    assert rules.validate(salesforce, answers, allow_private=True) == ()
    assert len(rules.validate(salesforce, answers)) == 1


def test_a_private_network_is_not_salesforce_even_then(salesforce, sign_in_by_key):
    answers = {**sign_in_by_key, "domain": "10.0.0.7"}
    (problem,) = rules.validate(salesforce, answers, allow_private=True)
    assert "is not one of Salesforce's addresses" in problem.message


def test_every_wrong_field_is_listed_in_form_order(salesforce):
    found = rules.validate(salesforce, {"auth": {"auth_type": "jwt_bearer"}, "max_workers": 99, "zzz": 1})
    assert [problem.path for problem in found] == [
        "auth.client_id",
        "auth.username",
        "auth.private_key",
        "start_date",
        "max_workers",
        "zzz",
    ]


def test_only_the_chosen_way_to_sign_in_is_judged(salesforce, sign_in_by_key):
    answers = {
        **sign_in_by_key,
        "auth": {"auth_type": "jwt_bearer", "client_id": "a", "username": "b", "private_key": PEM},
    }
    assert rules.validate(salesforce, answers) == ()


@pytest.mark.parametrize(
    ("auth", "problems"),
    [
        pytest.param(None, [("auth.auth_type", "How to sign in is missing.")], id="absent"),
        pytest.param({}, [("auth.auth_type", "How to sign in is missing.")], id="empty"),
        pytest.param({"client_id": "x"}, [("auth.auth_type", "How to sign in is missing.")], id="no tag"),
        pytest.param(
            {"auth_type": "jwtbearer"},
            [
                (
                    "auth.auth_type",
                    (
                        "How to sign in: 'jwtbearer' is not one of oauth_refresh, client_credentials, jwt_bearer, password."
                        " Did you mean jwt_bearer?"
                    ),
                )
            ],
            id="mistyped tag",
        ),
        pytest.param(
            {"auth_type": ["a"]},
            [
                (
                    "auth.auth_type",
                    "How to sign in: '['a']' is not one of oauth_refresh, client_credentials, jwt_bearer, password.",
                )
            ],
            id="tag of a wrong type",
        ),
        pytest.param(
            "x",
            [("auth.auth_type", "How to sign in is missing."), ("auth", "auth must be an object of fields.")],
            id="not an object",
        ),
    ],
)
def test_a_way_to_sign_in_must_be_chosen(salesforce, sign_in_by_key, auth, problems):
    assert list(rules.validate(salesforce, {**sign_in_by_key, "auth": auth})) == problems


def test_a_way_that_the_variant_does_not_have_is_refused(salesforce, sign_in_by_key):
    found = rules.validate(salesforce, sign_in_by_key, variant="singer-io")
    assert found[0] == (
        "auth.auth_type",
        "How to sign in: 'client_credentials' does not work with this variant of the plugin; it has oauth_refresh.",
    )


@pytest.mark.parametrize("values", [None, [], "text", 5])
def test_a_configuration_must_be_an_object(salesforce, values):
    assert rules.validate(salesforce, values) == (("", "The configuration must be an object of fields."),)


def test_a_stored_secret_may_be_left_out(salesforce, sign_in_by_key):
    answers = with_value(sign_in_by_key, "auth.client_secret", "")
    assert [problem.path for problem in rules.validate(salesforce, answers)] == ["auth.client_secret"]
    assert rules.validate(salesforce, answers, secrets_set=frozenset({"auth.client_secret"})) == ()


def test_what_the_sign_in_will_fill_may_be_missing_before_it(salesforce):
    answers = {"auth": {"auth_type": "oauth_refresh"}, "start_date": "2024-01-01"}
    assert rules.validate(salesforce, answers, awaiting=True) == ()
    assert [problem.path for problem in rules.validate(salesforce, answers)] == [
        "auth.client_id",
        "auth.client_secret",
        "auth.refresh_token",
    ]


def test_a_secret_in_its_wrapping_is_judged_like_a_plain_one(salesforce, sign_in_by_key):
    answers = with_value(sign_in_by_key, "auth.client_secret", "x")
    answers["auth"]["client_secret"] = SecretStr("s3cret")
    assert rules.validate(salesforce, answers) == ()
    answers["auth"]["client_secret"] = SecretStr("a\0b")
    assert len(rules.validate(salesforce, answers)) == 1


@pytest.mark.parametrize(
    "private_key",
    ["hunter2-hunter2", "a\0hunter2", "\ud800hunter2", 42_4242, ["hunter2"], {"hunter2": 1}, "hunter2" * 30_000],
)
def test_a_wrong_secret_is_never_shown(salesforce, private_key):
    answers = {"auth": {"auth_type": "jwt_bearer", "private_key": private_key}}
    messages = " ".join(problem.message for problem in rules.validate(salesforce, answers))
    assert "Private key" in messages
    assert "hunter2" not in messages
    assert "424242" not in messages


@pytest.mark.parametrize(
    ("size", "fits"), [pytest.param(100_000, True, id="100 kB"), pytest.param(131_072, False, id="128 KiB")]
)
def test_a_value_that_no_environment_variable_can_hold_is_refused(salesforce, sign_in_by_key, size, fits):
    found = rules.validate(salesforce, with_value(sign_in_by_key, "auth.client_secret", "x" * size))
    assert list(found) == (
        [] if fits else [("auth.client_secret", "Consumer secret is 128 KiB large; the limit is 128 KiB.")]
    )


def test_an_object_is_measured_as_a_whole(salesforce, sign_in_by_key):
    answers = with_value(sign_in_by_key, "auth.client_secret", "x" * 70_000)
    answers["auth"]["client_secret"] = SecretStr("x" * 70_000)
    answers["auth"]["client_id"] = "y" * 70_000
    assert rules.validate(salesforce, answers) == (("auth", "auth is 137 KiB large; the limit is 128 KiB."),)


def test_characters_count_as_they_are_encoded(salesforce, sign_in_by_key):
    (problem,) = rules.validate(salesforce, with_value(sign_in_by_key, "auth.client_secret", "é" * 70_000))
    assert problem.message == "Consumer secret is 137 KiB large; the limit is 128 KiB."


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        pytest.param({}, [], id="fine"),
        pytest.param({"port": 0}, [("connection.port", "Port: 0 is less than 1.")], id="port"),
        pytest.param(
            {"host": "postgres://me:hunter2@db.acme.com/x"},
            [("connection.host", "Host: 'postgres://…@db.acme.com/x' is not a host name like db.example.com.")],
            id="address with a password",
        ),
        pytest.param(
            {"host": "/var/run"},
            [("connection.host", "Host: '/var/run' is not a host name like db.example.com.")],
            id="socket",
        ),
        pytest.param(
            {"host": "10.1.2.3"},
            [
                (
                    "connection.host",
                    "Host: '10.1.2.3' is a private address, and the operator of this installation doesn't allow those.",
                )
            ],
            id="private",
        ),
        pytest.param({"tls": {"mode": "verify-full", "certificate_authority": CERTIFICATE}}, [], id="verified"),
        pytest.param(
            {"tls": {"mode": "verify-full"}},
            [("connection.tls.certificate_authority", "Certificate authority is missing.")],
            id="no authority",
        ),
        pytest.param(
            {"tls": {"mode": "verify-full", "certificate_authority": "/etc/passwd"}},
            [
                (
                    "connection.tls.certificate_authority",
                    "Certificate authority: '/etc/passwd' is not a certificate in PEM form.",
                )
            ],
            id="a path of our machine",
        ),
    ],
)
def test_a_warehouse_of_ones_own_is_checked(warehouse, change, problems):
    own = {"server": "own", "host": "db.acme.com", "database": "w", "user": "etl", "password": "hunter2", **change}
    assert list(rules.validate(warehouse, {"connection": own})) == problems


def test_the_built_in_warehouse_needs_nothing(warehouse):
    assert rules.validate(warehouse, {}) == ()


@pytest.mark.parametrize(
    ("what", "problems"),
    [
        pytest.param({"by": "repositories", "repositories": ["meltano/sdk"]}, [], id="repositories"),
        pytest.param({"by": "searches", "searches": ["org:meltano topic:singer"]}, [], id="searches"),
        pytest.param(
            {"by": "repositories", "repositories": ["meltano"]},
            [("what.repositories", "Repositories, item 1: 'meltano' is not owner/name.")],
            id="half a name",
        ),
        pytest.param(
            {"by": "people", "usernames": []}, [("what.usernames", "Usernames needs at least 1.")], id="nobody"
        ),
        pytest.param(
            {"by": "people", "usernames": [7]},
            [("what.usernames", "Usernames, item 1 must be text, not '7'.")],
            id="a number",
        ),
    ],
)
def test_github_asks_where_to_look(catalog, what, problems):
    answers = {"auth": {"token": "ghp_000001"}, "what": what, "start_date": "2024-01-01"}
    assert list(rules.validate(catalog.get("github"), answers)) == problems


@pytest.mark.parametrize("folder", ["../up", "/etc", "a/../b", "~root", "a//b", ".hidden", "a/.b", "a\\b"])
def test_files_stay_below_the_exports_folder(catalog, folder):
    (problem,) = rules.validate(catalog.get("jsonl"), {"folder": folder})
    assert problem.message.endswith("is not a folder like salesforce/raw, below the exports folder.")


@pytest.mark.parametrize(
    "file", ["../up.duckdb", "/etc/x.db", ".duckdb", "a/.b.duckdb", "crm", "a//b.db", "x.db/y", "a.db\n"]
)
def test_a_duckdb_file_stays_below_the_exports_folder(catalog, file):
    (problem,) = rules.validate(catalog.get("duckdb"), {"file": file})
    assert problem.message.endswith("below the exports folder.")
    assert not rules.validate(catalog.get("duckdb"), {"file": "crm/sales 2026.duckdb"})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KNOWN = st.sampled_from(
    ["auth", "auth_type", "connection", "server", "what", "by", "tls", "mode", "host", "folder", "own"]
)
SHAPED = st.recursive(ANYTHING | KNOWN, lambda inner: st.dictionaries(KNOWN, inner, max_size=4), max_leaves=12)


@settings(max_examples=150, deadline=None)
@given(values=SHAPED)
def test_no_input_breaks_the_checking(values):
    for connector in service.load(project_root() / "schemas" / "connectors").connectors.values():
        for problem in rules.validate(connector, values):
            assert problem.message
            assert problem.message[-1] in ".?"


@pytest.mark.parametrize("folder", ["ok\n", "ok/\n", "ok\n../up"])
def test_a_pattern_is_for_the_whole_text_a_line_break_at_its_end_included(catalog, folder):
    (problem,) = rules.validate(catalog.get("jsonl"), {"folder": folder})
    assert problem.path == "folder"
    assert "is not a folder" in problem.message


def test_what_follows_an_address_is_looked_at(warehouse):
    own = {"server": "own", "host": "2600::1%a b\nc", "database": "w", "user": "etl", "password": "hunter2"}
    assert [problem.path for problem in rules.validate(warehouse, {"connection": own})] == ["connection.host"]


def test_a_secret_too_short_to_be_kept_out_of_logs_is_refused(warehouse, edited):
    def problems(connector, password):
        own = {"server": "own", "host": "db.acme.com", "database": "w", "user": "etl", "password": password}
        return list(rules.validate(connector, {"connection": own}))

    ((path, sentence),) = problems(warehouse, "12345")
    assert (path, "fewer than 6 characters" in sentence, "12345" in sentence) == ("connection.password", True, False)
    assert problems(warehouse, SecretStr("123456")) == []

    def shorter(document):
        document["properties"]["connection"]["oneOf"][1]["properties"]["password"]["minLength"] = 3

    assert problems(edited("warehouse", shorter).get("warehouse"), "123") == []
