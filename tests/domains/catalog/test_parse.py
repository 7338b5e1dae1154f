"""From what people type to values."""

import pytest
from pydantic import SecretStr

from orchestrator.domains.catalog import rules
from orchestrator.domains.catalog.errors import InvalidValueError
from orchestrator.domains.catalog.types import FieldKind, FormField


def field(connector, name, **values):
    return next(field for field in rules.fields(connector, values) if field.name == name)


def made(kind, **schema):
    return FormField(path=("it",), title="It", kind=kind, required=False, schema=schema)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("domain", " acme.my.salesforce.com ", "acme.my.salesforce.com"),
        ("start_date", "2024-01-31", "2024-01-31"),
        ("max_workers", "8", 8),
        ("window_rows", "20,000", 20_000),
        ("include_deleted", "No", False),
        ("include_deleted", "y", True),
        ("api_type", "bulk", "BULK2"),
        ("api_type", "rest", "REST"),
        ("auth.auth_type", "Client credentials", "client_credentials"),
        ("auth.auth_type", "jwt_bearer", "jwt_bearer"),
        ("streams", "Account, Contact,", ["Account", "Contact"]),
        ("streams", "Account\n\n Contact \n", ["Account", "Contact"]),
        ("streams", '["Account", "Lead"]', ["Account", "Lead"]),
        ("streams", "  ", None),
        ("domain", "", None),
    ],
)
def test_a_text_becomes_the_value_of_its_field(salesforce, name, text, value):
    assert rules.parse(field(salesforce, name), text) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("start_date", "tomorrow", "Start date: 'tomorrow' is not a date like 2024-01-31."),
        ("max_workers", "many", "Parallel requests: 'many' is not a whole number."),
        ("max_workers", "99", "Parallel requests: 99 is more than 32."),
        ("include_deleted", "perhaps", "Include deleted records: answer yes or no."),
        ("api_type", "soap", "API: 'soap' is not one of REST, BULK2."),
        ("streams", "[1", "Objects is not a list in JSON."),
        ("streams", "Account, 1x", "Objects, item 2: '1x' is not an API name like Account or Invoice__c."),
        ("domain", "not a host", "Salesforce domain: 'not a host' is not a host name like acme.my.salesforce.com."),
    ],
)
def test_a_text_that_does_not_fit_gets_one_sentence(salesforce, name, text, message):
    with pytest.raises(InvalidValueError) as caught:
        rules.parse(field(salesforce, name), text)
    assert caught.value.message == message
    assert caught.value.problems == ((name, message),)
    assert caught.value.exit_code == 6


def test_a_secret_comes_wrapped_and_keeps_its_spaces(salesforce):
    asked = field(salesforce, "auth.client_secret", auth={"auth_type": "client_credentials"})
    assert rules.parse(asked, " s3cret \n") == SecretStr(" s3cret ")
    assert rules.parse(asked, "\n") is None


def test_a_private_key_keeps_its_lines_and_is_not_shown_when_wrong(salesforce):
    asked = field(salesforce, "auth.private_key", auth={"auth_type": "jwt_bearer"})
    pem = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"
    assert rules.parse(asked, pem).get_secret_value() == pem
    with pytest.raises(InvalidValueError) as caught:
        rules.parse(asked, "hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_text_too_large_for_an_environment_variable_is_refused(salesforce):
    asked = field(salesforce, "auth.client_secret", auth={"auth_type": "client_credentials"})
    with pytest.raises(InvalidValueError, match="Consumer secret is 195 KiB large; the limit is 128 KiB"):
        rules.parse(asked, "x" * 200_000)


def test_numbers_and_objects_can_be_typed_too():
    assert rules.parse(made(FieldKind.NUMBER, type="number"), "1.5") == 1.5
    assert rules.parse(made(FieldKind.OBJECT, type="object"), '{"a": 1}') == {"a": 1}
    with pytest.raises(InvalidValueError, match="It: 'x' is not a number"):
        rules.parse(made(FieldKind.NUMBER, type="number"), "x")
    with pytest.raises(InvalidValueError, match="It is not an object in JSON"):
        rules.parse(made(FieldKind.OBJECT, type="object"), "[]")
