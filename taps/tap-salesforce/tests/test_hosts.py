"""The token goes to Salesforce, or to this machine if the operator says so, and nowhere else."""

import pytest

from tap_salesforce.errors import ConfigError
from tap_salesforce.hosts import instance_url, login_url


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("login.salesforce.com", "https://login.salesforce.com"),
        (" Acme.my.salesforce.com ", "https://acme.my.salesforce.com"),
        ("https://acme--dev.sandbox.my.salesforce.com/", "https://acme--dev.sandbox.my.salesforce.com"),
        ("https://acme.my.salesforce.mil:443", "https://acme.my.salesforce.mil"),
    ],
)
def test_what_people_type_becomes_an_address(typed, url):
    assert login_url(typed, allow_private=False) == url


BAD = [
    "", "http://login.salesforce.com", "evil.com", "salesforce.com.evil.com", "evilsalesforce.com",
    "https://login.salesforce.com@evil.com", "https://evil.com#.salesforce.com", "https://login.salesforce.com/x",
    "https://login.salesforce.com:8443", "10.0.0.5", "https://169.254.169.254", "2130706433", "[::ffff:10.0.0.5]",
    "file:///etc/passwd", "https://login.salesforce.com?x=1", "https://[::1", "login.salesforce.com.",
    "https://u:p@login.salesforce.com", "https://xn--.salesforce.com\r\nHost: x",
]  # fmt: skip


@pytest.mark.parametrize("address", BAD)
@pytest.mark.parametrize("check", [login_url, instance_url])
@pytest.mark.parametrize("allow", [True, False])
def test_other_addresses_are_refused(address, check, allow):
    with pytest.raises(ConfigError):
        check(address, allow_private=allow)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9001", "https://localhost:9001", "http://[::1]:9001"])
def test_loopback_needs_the_operators_leave(address):
    assert instance_url(address, allow_private=True) == address
    with pytest.raises(ConfigError, match=r"allow_private"):
        instance_url(address, allow_private=False)
