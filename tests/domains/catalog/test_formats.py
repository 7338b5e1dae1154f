"""What counts as a date, an instant, a host and an address."""

import pytest

from orchestrator.domains.catalog.rules import formats


@pytest.mark.parametrize(
    ("check", "text", "fits"),
    [
        (formats.is_date, "2024-02-29", True),
        (formats.is_date, "2023-02-29", False),
        (formats.is_date, "2024-2-9", False),
        (formats.is_date, "2024-W01-1", False),
        (formats.is_date, "٢٠٢٤-٠١-٠١", False),
        (formats.is_date_time, "2024-01-31T10:00:00Z", True),
        (formats.is_date_time, "2024-01-31t10:00:00.123+02:00", True),
        (formats.is_date_time, "2024-01-31T25:00:00Z", False),
        (formats.is_date_time, "2024-01-31T10:00:00", False),
        (formats.is_host, "db.acme.com", True),
        (formats.is_host, "localhost", True),
        (formats.is_host, "my_db", True),
        (formats.is_host, "acme.com.", True),
        (formats.is_host, "10.0.0.1", True),
        (formats.is_host, "2001:db8::1", True),
        (formats.is_host, "999.1.1.1", False),
        (formats.is_host, "127.1", False),
        (formats.is_host, "2130706433", False),
        (formats.is_host, "-a.com", False),
        (formats.is_host, "a,b", False),
        (formats.is_host, "a b", False),
        (formats.is_host, "a..b", False),
        (formats.is_host, "", False),
        (formats.is_host, "a" * 64, False),
        (formats.is_host, ".".join(["a" * 60] * 5), False),
        (formats.is_host, "bücher.de", False),
        (formats.is_uri, "https://acme.com/path?q=1", True),
        (formats.is_uri, "acme.com", False),
        (formats.is_uri, "ftp://acme.com", False),
        (formats.is_uri, "https://", False),
        (formats.is_uri, "https://a:b@acme.com", False),
        (formats.is_uri, "https://acme.com:99999", False),
        (formats.is_uri, "https://acme.com:0", False),
        (formats.is_uri, "https://acme.com\\@evil.com", False),
        (formats.is_uri, "https://[::1", False),
        (formats.is_host_or_url, "acme.com", True),
        (formats.is_host_or_url, "http://127.0.0.1:9001", True),
        (formats.is_host_or_url, "https://acme.com/", True),
        (formats.is_host_or_url, "https://acme.com/path", False),
        (formats.is_host_or_url, "https://acme.com?x", False),
        (formats.is_host_or_url, "https://acme.com#x", False),
        (formats.is_host_or_url, "https://a@acme.com", False),
    ],
)
def test_formats(check, text, fits):
    assert check(text) is fits
