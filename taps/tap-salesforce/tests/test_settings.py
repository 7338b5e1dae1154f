"""Settings that cannot work are named before anything is sent, and no message quotes a secret."""

from datetime import UTC, datetime, timedelta

import pytest
from singer_sdk.exceptions import ConfigValidationError

from tap_salesforce.errors import ConfigError
from tap_salesforce.settings import read
from tap_salesforce.tap import TapSalesforce

AUTH = {"auth_type": "client_credentials", "client_id": "id", "client_secret": "s3cr3t-value"}


def test_defaults():
    settings = read({"auth": AUTH})
    assert settings.login_url == "https://login.salesforce.com"
    assert (settings.bulk, settings.max_workers, settings.api_version) == (True, 4, "62.0")
    assert (settings.window_rows, settings.lookback, settings.rest_below_rows) == (5_000, timedelta(minutes=15), 2_000)
    assert settings.include_deleted and settings.start is None and not settings.save_rotated_token
    assert (settings.hard_deletes, settings.formula_refresh) == (False, "weekly")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
        ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05+02:00", datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)),
    ],
)
def test_start_dates(text, moment):
    assert read({"auth": AUTH, "start_date": text}).start == moment


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "auth is missing"),
        ({"auth": {"auth_type": "magic"}}, "'magic' is not known.*oauth_refresh"),
        ({"auth": {**AUTH, "client_secret": " "}}, "client_credentials also needs auth.client_secret"),
        ({"auth": {"auth_type": "jwt_bearer"}}, "auth.client_id, auth.username, auth.private_key"),
        ({"auth": AUTH, "start_date": "soon"}, "'soon' is not a date"),
        ({"auth": AUTH, "end_date": "never"}, "end_date 'never' is not a date"),
        ({"auth": AUTH, "start_date": "2024-02-01", "end_date": "2024-02-01"}, "end_date is not after start_date"),
        ({"auth": AUTH, "domain": "example.org"}, "domain .* is not an https address of Salesforce"),
    ],
)
def test_what_is_wrong_is_named(config, said):
    with pytest.raises(ConfigError, match=said):
        read(config)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"auth": {**AUTH, "client_secret": 424242}}, "auth.client_secret is not valid: it must be type 'string'"),
        ({"auth": "424242"}, "auth is not valid: it must be type 'object'"),
        ({"auth": {"client_secret": "424242"}}, "auth: 'auth_type' is a required property"),
        ({"formula_refresh": "hourly"}, "formula_refresh: 'hourly' is not one of ['never', 'daily', 'weekly'"),
        ({"max_workers": 99}, "max_workers: 99 is greater than the maximum of 32"),
        ({"api_version": "62"}, "api_version: '62' does not match"),
    ],
)
def test_the_schema_is_checked_without_quoting_secrets(change, said):
    with pytest.raises(ConfigValidationError) as raised:
        TapSalesforce(config={"auth": AUTH, **change})
    assert any(said in error for error in raised.value.errors)
    assert "424242" not in str(raised.value.errors) + str(raised.value)
