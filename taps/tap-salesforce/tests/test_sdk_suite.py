"""The Singer SDK's own test suite for taps, by both APIs."""

from collections.abc import Iterator

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from sandboxes.salesforce import LocalOrg
from tap_salesforce.tap import TapSalesforce

# Some fields are empty in all of few records. The suite warns where one of these is the first it looks at in a process.
pytestmark = pytest.mark.filterwarnings("ignore:No records were available to test")

# The suite asks for the streams while tests are collected, so this org lives as long as the module.
ORG = LocalOrg(
    counts={"Contact": 120, "Account": 30, "Lead": 20, "Opportunity": 20, "Invoice__c": 20, "User": 5}
).start()


@pytest.fixture(scope="module", autouse=True)
def stopped() -> Iterator[None]:
    yield
    ORG.stop()


def config(api: str) -> dict:
    app = ORG.app
    return {
        "auth": {"auth_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret},
        "domain": ORG.url,
        "allow_private": True,
        "start_date": "2019-01-01",
        "streams": ["Account", "Contact", "Lead", "Opportunity", "User", "Invoice__c", "AccountHistory", "CaseStatus"],
        "api_type": api,
    }


SUITE = SuiteConfig(max_records_limit=50)
TestByRest = get_tap_test_class(TapSalesforce, config=config("REST"), suite_config=SUITE)
TestByBulk = get_tap_test_class(TapSalesforce, config=config("BULK2"), suite_config=SUITE)
