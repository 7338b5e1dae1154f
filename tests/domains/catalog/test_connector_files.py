"""The connector files as they are shipped."""

import hashlib
import json

import pytest
from jsonschema import Draft202012Validator

from orchestrator.domains.catalog import rules, service
from orchestrator.domains.catalog.types import Kind, PluginType
from orchestrator.kernel.environment import project_root

SCHEMAS = project_root() / "schemas"
FILES = sorted((SCHEMAS / "connectors").glob("*.json"))
META_SCHEMA = json.loads((SCHEMAS / "connector.schema.json").read_text("utf-8"))

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_the_meta_schema_is_a_schema():
    Draft202012Validator.check_schema(META_SCHEMA)


def test_we_offer_these():
    assert [path.stem for path in FILES] == [
        "duckdb",
        "github",
        "jsonl",
        "parquet",
        "postgres",
        "salesforce",
        "warehouse",
    ]


@each_file
def test_the_file_fits_the_meta_schema_and_points_nowhere_wrong(path):
    document = json.loads(path.read_text("utf-8"))
    assert service.reasons(document, META_SCHEMA, file_stem=path.stem) == ()
    Draft202012Validator.check_schema(document)


def test_the_recorded_hashes_are_those_of_the_files():
    recorded = dict(reversed(line.split()) for line in (SCHEMAS / "connectors.sha256").read_text("utf-8").splitlines())
    files = [SCHEMAS / "connector.schema.json", *FILES]
    actual = {str(file.relative_to(SCHEMAS)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    again = "cd schemas && sha256sum connector.schema.json connectors/*.json > connectors.sha256"
    assert recorded == actual, f"a connector file changed; once it is right, record it: {again}"


def test_all_of_them_load(catalog):
    assert catalog.broken == ()
    assert set(catalog.connectors) == {path.stem for path in FILES}


@each_file
def test_the_plugin_suits_the_kind(catalog, path):
    connector = catalog.get(path.stem)
    wanted = PluginType.EXTRACTOR if connector.kind is Kind.SOURCE else PluginType.LOADER
    assert {variant.plugin_type for variant in connector.variants.values()} == {wanted}


@each_file
def test_every_secret_is_asked_for_as_a_secret(catalog, path):
    connector = catalog.get(path.stem)
    words = ("password", "secret", "token", "private_key")
    suspects = {
        ".".join(where)
        for where, schema in rules.walk.every_leaf(connector.schema)
        if any(word in where[-1] for word in words) and "const" not in schema
    }
    assert suspects == set(rules.secret_names(connector))


@each_file
def test_every_question_has_a_title_a_group_and_some_help_where_it_is_advanced(catalog, path):
    connector = catalog.get(path.stem)
    for field in rules.fields(connector, {}):
        assert field.title
        assert field.group, field.name
        assert field.help or not field.advanced or field.placeholder, field.name


def test_salesforce_signs_in_four_ways_with_the_facts_of_each(salesforce):
    grants = {way.auth_type: way.token.grant.value for way in salesforce.sign_ins.values()}
    assert grants == {
        "oauth_refresh": "refresh_token",
        "client_credentials": "client_credentials",
        "jwt_bearer": "jwt_bearer",
        "password": "password",
    }
    by_browser = salesforce.sign_ins["oauth_refresh"]
    assert by_browser.token.rotates
    assert by_browser.token.instance_url_from == "instance_url"
    assert by_browser.oauth.scopes == ("api", "refresh_token")
    assert by_browser.variants == {"orchestrator", "singer-io"}


def test_the_checks_come_cheap_ones_first(salesforce):
    assert [check.name for check in salesforce.checks] == ["reach", "sign_in", "permissions"]
