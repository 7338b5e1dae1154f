"""The questions of a form."""

import pytest

from orchestrator.domains.catalog import rules
from orchestrator.domains.catalog.types import FieldKind, FilledBy


def names(connector, values, **which):
    return [field.name for field in rules.fields(connector, values, **which)]


def test_the_choice_of_how_to_sign_in_comes_first_and_decides_what_follows(salesforce):
    nothing_chosen = names(salesforce, {})
    assert nothing_chosen[:2] == ["auth.auth_type", "domain"]
    by_key = names(salesforce, {"auth": {"auth_type": "jwt_bearer"}})
    assert by_key[:5] == ["auth.auth_type", "auth.client_id", "auth.username", "auth.private_key", "domain"]


def test_questions_come_group_by_group_and_advanced_ones_last(salesforce):
    groups = [field.group for field in rules.fields(salesforce, {})]
    assert list(dict.fromkeys(groups)) == ["Account", "What to sync", "Advanced"]
    assert groups == sorted(groups, key=["Account", "What to sync", "Advanced"].index)
    assert {field.group for field in rules.fields(salesforce, {}) if field.advanced} == {"Advanced"}


def test_a_choice_shows_labels_and_help(salesforce):
    (field,) = [field for field in rules.fields(salesforce, {}) if field.name == "auth.auth_type"]
    assert field.kind is FieldKind.CHOICE
    assert field.required
    first = field.choices[0]
    assert (first.value, first.label) == ("oauth_refresh", "Sign in with Salesforce")
    assert first.help == "Opens a Salesforce window. Nothing to copy and paste."


def test_what_the_sign_in_fills_is_marked(salesforce):
    marked = {
        field.name: field.filled_by for field in rules.fields(salesforce, {"auth": {"auth_type": "oauth_refresh"}})
    }
    assert marked["auth.client_secret"] is FilledBy.OAUTH_APP
    assert marked["auth.refresh_token"] is FilledBy.OAUTH_CALLBACK
    assert marked["domain"] is None


@pytest.mark.parametrize(
    ("name", "kind", "default", "placeholder"),
    [
        ("domain", FieldKind.TEXT, "login.salesforce.com", "acme.my.salesforce.com"),
        ("start_date", FieldKind.DATE, None, "2024-01-01"),
        ("streams", FieldKind.LIST, None, "Account, Contact"),
        ("include_deleted", FieldKind.BOOLEAN, True, ""),
        ("api_type", FieldKind.CHOICE, "BULK2", ""),
        ("max_workers", FieldKind.INTEGER, 4, ""),
        ("auth.private_key", FieldKind.MULTILINE_SECRET, None, ""),
        ("auth.username", FieldKind.TEXT, None, "etl@acme.com"),
    ],
)
def test_each_field_says_how_to_ask(salesforce, name, kind, default, placeholder):
    found = {field.name: field for field in rules.fields(salesforce, {"auth": {"auth_type": "jwt_bearer"}})}
    field = found[name]
    assert (field.kind, field.default, field.placeholder) == (kind, default, placeholder)


def test_only_secrets_are_secret(salesforce):
    for way in salesforce.sign_ins:
        asked = rules.fields(salesforce, {"auth": {"auth_type": way}})
        assert {field.name for field in asked if field.secret} <= set(rules.secret_names(salesforce))


def test_a_choice_with_one_answer_is_not_asked(catalog):
    assert names(catalog.get("github"), {})[:2] == ["auth.token", "what.by"]


def test_a_default_choice_shows_its_fields_at_once(warehouse):
    assert names(warehouse, {})[0] == "connection.server"
    field = rules.fields(warehouse, {})[0]
    assert field.default == "built_in"
    assert not [field for field in rules.fields(warehouse, {}) if field.required and field.name != "connection.server"]


def test_a_choice_within_a_choice_is_asked_in_turn(warehouse):
    own = {"connection": {"server": "own"}}
    assert "connection.tls.mode" in names(warehouse, own)
    assert "connection.tls.certificate_authority" not in names(warehouse, own)
    own["connection"]["tls"] = {"mode": "verify-full"}
    found = {field.name: field for field in rules.fields(warehouse, own)}
    assert found["connection.tls.certificate_authority"].kind is FieldKind.MULTILINE
    assert found["connection.tls.certificate_authority"].group == "Server"


def test_a_variant_is_asked_only_for_what_it_can_do(salesforce):
    asked = names(salesforce, {}, variant="singer-io")
    assert asked[:3] == ["auth.client_id", "auth.client_secret", "auth.refresh_token"]
    assert "streams" not in asked
    assert "lookback_window" in asked
    assert "lookback_window" not in names(salesforce, {})


@pytest.mark.parametrize("values", [{"auth": "x"}, {"auth": ["a"]}, {"auth": {"auth_type": []}}, {"auth": None}])
def test_answers_of_a_wrong_shape_choose_nothing(salesforce, values):
    assert names(salesforce, values)[:2] == ["auth.auth_type", "domain"]


def test_completing_adds_defaults_and_drops_blanks(salesforce, sign_in_by_key):
    given = {**sign_in_by_key, "streams": None, "domain": "", "api_type": "REST"}
    answers = rules.completed(salesforce, given)
    assert answers["domain"] == "login.salesforce.com"
    assert answers["api_type"] == "REST"
    assert answers["max_workers"] == 4
    assert "streams" not in answers
    assert "lookback_window" not in answers
    assert given["domain"] == ""


def test_completing_chooses_what_needs_no_choice(catalog, warehouse, salesforce):
    assert rules.completed(warehouse, {})["connection"] == {"server": "built_in"}
    assert rules.completed(warehouse, {"connection": {"server": "own", "host": "h"}})["connection"] == {
        "server": "own",
        "host": "h",
        "port": 5432,
        "tls": {"mode": "prefer"},
    }
    assert rules.completed(catalog.get("github"), {})["auth"] == {"auth_type": "token"}
    assert rules.completed(salesforce, {}, variant="singer-io")["auth"] == {"auth_type": "oauth_refresh"}


def test_completing_keeps_what_it_does_not_know(salesforce):
    assert rules.completed(salesforce, {"doman": "x", "auth": "y"})["doman"] == "x"


def test_completing_leaves_a_wrong_shape_alone(warehouse):
    assert rules.completed(warehouse, {"connection": "own"})["connection"] == "own"


def nested(document):
    document["properties"]["proxy"] = {
        "title": "Proxy",
        "type": "object",
        "additionalProperties": False,
        "x-group": "advanced",
        "required": ["host"],
        "properties": {
            "host": {"title": "Proxy host", "type": "string", "format": "host", "x-binds-secrets": True},
            "port": {"title": "Proxy port", "type": "number", "exclusiveMinimum": 0},
        },
    }


def test_a_plain_object_is_asked_field_by_field(edited, schemas):
    document = schemas / "connector.schema.json"
    text = document.read_text("utf-8")
    document.write_text(text.replace('"maximum": { "type": "number" },', '"maximum": true, "exclusiveMinimum": true,'))
    github = edited("github", nested).get("github")
    asked = {field.name: field for field in rules.fields(github, {})}
    assert (asked["proxy.host"].required, asked["proxy.port"].kind) == (False, FieldKind.NUMBER)
    assert asked["proxy.host"].advanced
    found = rules.validate(github, {"proxy": {"hots": "x", "port": 0}})
    assert [tuple(problem) for problem in found if problem.path.startswith("proxy")] == [
        ("proxy.port", "Proxy port does not fit (exclusiveMinimum)."),
        ("proxy.hots", "There is no field 'proxy.hots'. Did you mean 'host'?"),
    ]
