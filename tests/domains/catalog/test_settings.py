"""From the form to the plugin's own settings."""

import copy
import json

import pytest
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from orchestrator.domains.catalog import rules
from orchestrator.domains.catalog.errors import MissingFactError, MissingSessionError, UnknownVariantError
from orchestrator.domains.catalog.rules import walk
from orchestrator.domains.catalog.types import FieldKind, Session
from orchestrator.kernel.environment import project_root
from tap_salesforce.settings import CONFIG_SCHEMA

SESSION = Session(
    access_token=SecretStr("00D!token"), instance_url="https://acme.my.salesforce.com", token_socket="/run/1/token.sock"
)
ADDRESS = "postgresql+psycopg://etl:hunter2@/warehouse?host=%2Frun%2Fpg"
HERE = {"allow_private": False, "exports": "/srv/exports", "schema": "sales", "warehouse_url": ADDRESS}


def made(connector, values, variant=None, **more):
    config, secrets = rules.split(connector, values)
    return rules.plugin_settings(
        connector, variant or connector.default_variant, config, secrets, operator=HERE, **more
    )


def shown(secrets):
    return [secret.get_secret_value() for secret in secrets]


def test_our_tap_gets_the_session_in_place_of_what_it_was_made_from(salesforce, sign_in_by_key):
    settings = made(salesforce, sign_in_by_key, session=SESSION)
    assert settings.values["auth"] == {
        "auth_type": "session",
        "access_token": "00D!token",
        "instance_url": "https://acme.my.salesforce.com",
        "token_socket": "/run/1/token.sock",
    }
    assert shown(settings.secrets) == ["00D!token"]
    assert "s3cret-of-the-app" not in str(settings.values)
    assert settings.values["domain"] == "acme.my.salesforce.com"
    assert settings.values["allow_private"] is False
    assert "lookback_window" not in settings.values


def test_our_tap_understands_its_settings(salesforce, sign_in_by_key):
    settings = made(salesforce, {**sign_in_by_key, "streams": ["Account"]}, session=SESSION)
    known = CONFIG_SCHEMA["properties"]
    assert set(settings.values) <= set(known)
    assert list(Draft202012Validator(CONFIG_SCHEMA).iter_errors(settings.values)) == []


def test_a_session_needs_no_socket(salesforce, sign_in_by_key):
    session = Session(access_token=SecretStr("t"), instance_url="https://x.my.salesforce.com")
    assert "token_socket" not in made(salesforce, sign_in_by_key, session=session).values["auth"]


def test_a_plugin_that_we_sign_in_for_needs_a_session(salesforce, sign_in_by_key):
    with pytest.raises(MissingSessionError):
        made(salesforce, sign_in_by_key)


def test_the_community_tap_signs_in_by_itself_and_in_its_own_words(salesforce):
    answers = {
        "auth": {"auth_type": "oauth_refresh", "client_id": "id", "client_secret": "sec", "refresh_token": "ref"},
        "domain": "acme--dev.sandbox.my.salesforce.com",
        "start_date": "2024-01-01",
    }
    settings = made(salesforce, answers, "singer-io")
    assert settings.values == {
        "select_fields_by_default": True,
        "client_id": "id",
        "client_secret": "sec",
        "refresh_token": "ref",
        "is_sandbox": True,
        "start_date": "2024-01-01T00:00:00Z",
        "api_type": "BULK",
        "lookback_window": 10,
    }
    assert sorted(shown(settings.secrets)) == ["ref", "sec"]


@pytest.mark.parametrize(
    ("domain", "is_sandbox"),
    [("login.salesforce.com", False), ("test.salesforce.com", True), ("acme.my.salesforce.com", False)],
)
def test_the_domain_says_whether_it_is_a_sandbox(salesforce, domain, is_sandbox):
    answers = {"auth": {"auth_type": "oauth_refresh"}, "domain": domain, "api_type": "REST"}
    values = made(salesforce, answers, "singer-io").values
    assert values["is_sandbox"] is is_sandbox
    assert values["api_type"] == "REST"


@pytest.mark.parametrize(
    ("what", "settings"),
    [
        ({"by": "repositories", "repositories": ["a/b"]}, {"repositories": ["a/b"]}),
        ({"by": "organizations", "organizations": ["a"]}, {"organizations": ["a"]}),
        ({"by": "people", "usernames": ["me"]}, {"user_usernames": ["me"]}),
        ({"by": "searches", "searches": ["org:a"]}, {"searches": [{"name": "org:a", "query": "org:a"}]}),
    ],
    ids=lambda value: value.get("by", ""),
)
def test_github_gets_exactly_one_place_to_look(catalog, what, settings):
    answers = {"auth": {"token": "ghp_x"}, "what": what, "start_date": "2024-01-01"}
    made_of = made(catalog.get("github"), answers)
    assert made_of.values == {
        "auth_token": "ghp_x",
        "start_date": "2024-01-01T00:00:00Z",
        "rate_limit_buffer": 1000,
        "backoff_max_tries": 5,
        "skip_parent_streams": False,
        **settings,
    }
    assert shown(made_of.secrets) == ["ghp_x"]


SERVER = {"host": "db.acme.com", "database": "shop", "user": "etl", "password": "hunter2"}


def test_postgres_gets_no_secret_within_an_address(catalog):
    settings = made(catalog.get("postgres"), {**SERVER, "filter_schemas": ["public"]})
    assert settings.values == {
        **SERVER,
        "port": 5432,
        "ssl_enable": False,
        "ssl_mode": "prefer",
        "filter_schemas": ["public"],
        "dates_as_string": False,
        "json_as_object": False,
    }
    assert shown(settings.secrets) == ["hunter2"]


def test_one_answer_may_fill_two_settings(catalog):
    values = made(
        catalog.get("postgres"), {**SERVER, "tls": {"mode": "verify-full", "certificate_authority": "PEM"}}
    ).values
    assert (values["ssl_enable"], values["ssl_mode"]) == (True, "verify-full")
    assert values["ssl_certificate_authority"] == "PEM"


LOADING = {"load_method": "upsert", "default_target_schema": "sales", "hard_delete": False}
THEIRS = {
    "add_record_metadata": True,
    "sanitize_null_text_characters": True,
    "validate_records": True,
    "batch_size_rows": 10_000,
}


def test_the_built_in_warehouse_is_that_of_the_installation(warehouse):
    settings = made(warehouse, {})
    assert settings.values == {**LOADING, "sqlalchemy_url": ADDRESS}
    assert shown(settings.secrets) == [ADDRESS]


@pytest.mark.parametrize(("variant", "more"), [("orchestrator", {}), ("meltanolabs", THEIRS)])
def test_a_warehouse_of_ones_own_is_flattened_and_gets_nothing_of_the_installations(warehouse, variant, more):
    settings = made(warehouse, {"connection": {"server": "own", **SERVER}}, variant)
    assert settings.values == {**LOADING, **more, **SERVER, "port": 5432, "ssl_enable": False, "ssl_mode": "prefer"}
    assert shown(settings.secrets) == ["hunter2"]


def test_files_go_below_the_exports_folder_one_folder_an_integration(catalog):
    assert made(catalog.get("jsonl"), {"folder": "sf/raw"}).values == {
        "destination_path": "/srv/exports/sf/raw/sales",
        "validate_records": True,
        "batch_size_rows": 10_000,
    }


def test_a_duckdb_file_is_shared_by_schemas_and_parquet_has_a_folder_an_integration(catalog):
    duckdb = made(catalog.get("duckdb"), {"file": "sf/crm.duckdb"}).values
    assert (duckdb["path"], duckdb["default_target_schema"]) == ("/srv/exports/sf/crm.duckdb", "sales")
    parquet = made(catalog.get("parquet"), {"folder": "sf"}).values
    assert (parquet["path"], parquet["format"]) == ("/srv/exports/sf/sales", "parquet")


def test_a_fact_of_the_installation_must_be_given(catalog):
    with pytest.raises(MissingFactError, match="'exports'"):
        rules.plugin_settings(catalog.get("jsonl"), "orchestrator", {}, {})


def test_an_unknown_variant_is_named(salesforce):
    with pytest.raises(UnknownVariantError) as caught:
        rules.plugin_settings(salesforce, "airbyte", {}, {})
    assert caught.value.hint == "It has orchestrator, singer-io."


def test_settings_are_not_printed(salesforce, sign_in_by_key):
    assert "00D!token" not in repr(made(salesforce, sign_in_by_key, session=SESSION))


def test_values_of_people_reach_the_plugin_unchanged(salesforce):
    hostile = 'a$HOME ${X} "q" \'r\' \\ \n é 🙂 {"j": 1}'
    answers = {
        "auth": {"auth_type": "oauth_refresh", "client_id": hostile, "client_secret": hostile, "refresh_token": "r"}
    }
    values = made(salesforce, answers, "singer-io").values
    assert (values["client_id"], values["client_secret"]) == (hostile, hostile)


INVENTED = {
    FieldKind.BOOLEAN: True,
    FieldKind.INTEGER: 7,
    FieldKind.DATE: "2024-01-01",
    FieldKind.LIST: ["one"],
}


def every_way_to_answer(connector, variant, values):
    """Answers to every question, for each combination of choices."""
    for field in rules.fields(connector, values, variant=variant):
        if "oneOf" in field.schema and walk.at(values, field.path) is None:
            for choice in field.choices:
                chosen = copy.deepcopy(values)
                walk.put(chosen, field.path, choice.value)
                yield from every_way_to_answer(connector, variant, chosen)
            return
    for field in rules.fields(connector, values, variant=variant):
        if "oneOf" not in field.schema:
            first = field.choices[0].value if field.choices else "text"
            walk.put(values, field.path, INVENTED.get(field.kind, first))
    yield values


def plugin_of(variant):
    folder = project_root() / "plugins" / f"{variant.plugin_type}s"
    return json.loads((folder / f"{variant.lock}.lock").read_text("utf-8"))


@pytest.mark.parametrize("name", ["duckdb", "github", "jsonl", "parquet", "postgres", "salesforce", "warehouse"])
def test_every_plugin_knows_the_settings_it_gets_whatever_is_answered(catalog, name):
    connector = catalog.get(name)
    for variant in connector.variants.values():
        plugin = plugin_of(variant)
        assert (plugin["name"], plugin["namespace"]) == (variant.plugin, variant.namespace)
        known = {setting["name"] for setting in plugin["settings"]}
        for answers in every_way_to_answer(connector, variant.name, {}):
            settings = made(connector, answers, variant.name, session=SESSION)
            assert set(settings.values) <= known, answers
