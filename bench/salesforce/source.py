"""The org that is measured with: a process of its own, its time held so that pages come out of its cache."""

import csv
import io
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from sandboxes.salesforce import RemoteOrg

_API = "/services/data/v62.0"
_READ = 1 << 18
_TYPES = {
    "boolean": "boolean",
    "int": "bigint",
    "double": "numeric",
    "currency": "numeric",
    "percent": "numeric",
    "date": "date",
    "datetime": "timestamp with time zone",
    "time": "time without time zone",
}
_PARTED = ("address", "location", "base64")  # Bulk serves their parts, or nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One object of a running org.

    fields:  name → the Postgres type that holds it
    rows:    how many records there are, deleted ones included
    """

    org: RemoteOrg
    name: str
    fields: dict[str, str]
    rows: int

    def pages(self) -> Iterator[bytes]:
        """The CSV of all records, unpacked; the first of a kind makes the org build it."""
        with _session(self.org) as (connection, headers):
            yield from _pages(connection, headers, self.name, list(self.fields))

    def records(self) -> Iterator[list[str]]:
        """All records, as text in the order of `fields`."""
        for page in self.pages():
            reader = csv.reader(io.StringIO(page.decode(), newline=""))
            next(reader)
            yield from reader

    def size(self) -> int:
        """Bytes of CSV."""
        return sum(len(page) for page in self.pages())

    def alone(self, seconds: float = 3.0) -> float:
        """Records a second the org hands out as packed pages to a client that does nothing with them."""
        with _session(self.org) as (connection, headers):
            sum(_pages(connection, headers, self.name, list(self.fields), packed=True))  # which makes them
            rows, began = 0, time.perf_counter()
            while (took := time.perf_counter() - began) < seconds:
                for page in _pages(connection, headers, self.name, list(self.fields), packed=True):
                    rows += page
        return rows / took


@contextmanager
def source(
    name: str, rows: int, *, options: Sequence[str] = (), cache: Path | None = None, held: bool = True
) -> Iterator[Source]:
    """An org with so many records of one object.

    cache:  keeps the org's data for the next one of this size
    held:   the org's time stands still, so that every run asks the same questions
    """
    kept = [] if cache is None else [f"--cache-dir={cache}"]
    with RemoteOrg(counts={name: rows}, options=[*options, *kept, "--daily-limit=100000000"]) as org:
        if held:
            org.hold_time()
        counts = org.count(name)
        with _session(org) as (connection, headers):
            described = _json(connection, "GET", f"{_API}/sobjects/{name}/describe", headers=headers)
        fields = {
            str(field["name"]): _TYPES.get(field["type"], "text")
            for field in described["fields"]
            if field["type"] not in _PARTED
        }
        yield Source(org=org, name=name, fields=fields, rows=counts["live"] + counts["deleted"])


@contextmanager
def _session(org: RemoteOrg) -> Iterator[tuple[HTTPConnection, dict[str, str]]]:
    connection = HTTPConnection(urlsplit(org.url).netloc)
    try:
        grant = {name: org.app[name] for name in ("client_id", "client_secret", "refresh_token")}
        form = urlencode({"grant_type": "refresh_token", **grant})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        token = _json(connection, "POST", "/services/oauth2/token", form, kind)["access_token"]
        yield connection, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    finally:
        connection.close()


def _json(
    connection: HTTPConnection, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> Any:
    connection.request(method, path, body, headers or {})
    return json.load(connection.getresponse())


def _pages(
    connection: HTTPConnection, headers: dict[str, str], name: str, fields: Sequence[str], *, packed: bool = False
) -> Iterator[Any]:
    """Pages of CSV; packed: how many records each had, read as gzip and thrown away."""
    wish = {"operation": "queryAll", "query": f"SELECT {','.join(fields)} FROM {name}"}  # noqa: S608 - SOQL
    job = f"{_API}/jobs/query/{_json(connection, 'POST', f'{_API}/jobs/query', json.dumps(wish), headers)['id']}"
    while _json(connection, "GET", job, headers=headers)["state"] != "JobComplete":
        time.sleep(0.02)
    locator, into = "", memoryview(bytearray(_READ))
    asked = {**headers, **({"Accept-Encoding": "gzip"} if packed else {})}
    while locator != "null":
        more = f"&locator={locator}" if locator else ""
        connection.request("GET", f"{job}/results?maxRecords=50000{more}", headers=asked)
        answer = connection.getresponse()
        locator = answer.headers["Sforce-Locator"]
        if packed:
            while answer.readinto(into):
                pass
            yield int(answer.headers["Sforce-NumberOfRecords"])
        else:
            yield answer.read()
