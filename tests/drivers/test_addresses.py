import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.drivers import addresses
from orchestrator.drivers.addresses import AddressNotAllowedError

ALWAYS_REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.7",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "5f00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "no address",
    "",
]
PRIVATE = [
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    "::1",
    "fc00::1",
    "fdff::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "2001:200::1",
]


@pytest.mark.parametrize("address", ALWAYS_REFUSED)
def test_special_addresses_are_never_called(address):
    assert addresses.refusal(address, allow_private=False)
    assert addresses.refusal(address, allow_private=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_called_only_where_the_operator_allows_it(address):
    assert addresses.refusal(address, allow_private=False) == "it is private"
    assert addresses.refusal(address, allow_private=True) is None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called(address):
    assert addresses.refusal(address, allow_private=False) is None


@given(st.ip_addresses())
def test_nothing_python_calls_private_or_special_passes(ip):
    if not ip.is_global or ip.is_multicast:
        assert addresses.refusal(str(ip), allow_private=False)


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_an_ipv4_address_inside_any_ipv6_transition_form_is_refused(ip):
    number = int(ip)
    for form in (number, 0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert addresses.refusal(str(ipaddress.IPv6Address(form)), allow_private=True) or form == 1


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "host_header"),
    [
        ("https://login.salesforce.com/services/oauth2/token", "login.salesforce.com", 443, "/services/oauth2/token", None),
        ("HTTPS://Login.Salesforce.COM./a?b=c#d", "login.salesforce.com", 443, "/a?b=c", "login.salesforce.com"),
        ("https://example.org:8443", "example.org", 8443, "/", "example.org:8443"),
        ("https://example.org:443/", "example.org", 443, "/", "example.org"),
        ("http://127.0.0.1:9001/x", "127.0.0.1", 9001, "/x", "127.0.0.1:9001"),
        ("http://[::1]:80/x", "::1", 80, "/x", "[::1]"),
        ("https://[2606:4700:0::1111]:8443/x", "2606:4700::1111", 8443, "/x", "[2606:4700::1111]:8443"),
        ("https://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example", 443, "/", "xn--mnchen-3ya.example"),
    ],
)  # fmt: skip
def test_a_url_is_taken_apart(url, host, port, target, host_header):
    address = addresses.parsed(url)
    assert (address.host, address.port, address.target) == (host, port, target)
    assert address.host_header == (host_header or host)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "https://",
        "https:///path",
        "https://user@example.org/",
        "https://user:secret-canary@example.org/",
        "https://example.org@127.0.0.1/",
        "https://example.org:99999/",
        "https://example.org:0/",
        "https://example.org:port/",
        "https://example.org\\@127.0.0.1/",
        "https://example.org /",
        "https://example.org/\r\nHost: x",
        "https://exam\tple.org/",
        "https://münchen.example/",
        "https://ex%61mple.org/",
        "https://example..org/",
        "https://-/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[1.2.3.4]/",
        "https://exam ple.org",
        "https://a,b/",
        "https://*.example.org/",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_without_repeating_it(url):
    with pytest.raises(AddressNotAllowedError) as caught:
        addresses.parsed(url)
    assert "secret-canary" not in caught.value.message
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("host", "fits"),
    [
        ("salesforce.com", True),
        ("acme.my.salesforce.com", True),
        ("ACME.My.Salesforce.com.", True),
        ("acme.force.com", True),
        ("evilsalesforce.com", False),
        ("salesforce.com.evil.example", False),
        ("com", False),
        ("", False),
    ],
)
def test_a_host_belongs_to_its_suffixes_by_whole_labels(host, fits):
    assert addresses.host_matches(host, (".salesforce.com", "*.force.com")) is fits


def test_an_empty_suffix_allows_nothing():
    assert not addresses.host_matches("example.org", ("", ".", "*"))
