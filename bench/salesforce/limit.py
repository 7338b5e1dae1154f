"""The bare limit: Bulk API 2.0 pages, unpacked, straight into COPY. No retries, no checks, no state, no Singer.

One JSON object on stdin: url, client_id, client_secret, refresh_token of the org; dsn, schema, table of the warehouse;
object and fields; statements: what makes the table, fills it and keys it; connections; gunzip: isal, the fastest
there is, or zlib, which comes with Python. One connection makes the table, fills it and gives it its key in one
transaction, so that Postgres writes no WAL; several share a table that is there already.
"""

import json
import sys
import threading
import time
import zlib
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg
from isal import isal_zlib

_READ = 1 << 17
_UNPACKED = 1 << 18
_API = "/services/data/v62.0/jobs/query"


class Pages:
    """The pages of one finished job, handed out to whoever asks next."""

    def __init__(self, wish: dict[str, Any]) -> None:
        self._host = urlsplit(wish["url"]).netloc
        grant = {name: wish[name] for name in ("client_id", "client_secret", "refresh_token")}
        form = urlencode({"grant_type": "refresh_token", **grant})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        self._connection = HTTPConnection(self._host)
        self._headers = {"Content-Type": "application/json"}
        token = self._json("POST", "/services/oauth2/token", form, kind)["access_token"]
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        query = f"SELECT {','.join(wish['fields'])} FROM {wish['object']}"  # noqa: S608 - SOQL, of our own names
        self._job = self._json("POST", _API, json.dumps({"operation": "queryAll", "query": query}))["id"]
        while self._json("GET", f"{_API}/{self._job}")["state"] != "JobComplete":
            time.sleep(0.02)
        self._unpacker = isal_zlib.decompressobj if wish["gunzip"] == "isal" else zlib.decompressobj
        self._lock = threading.Lock()
        self._locator = ""

    def _json(self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> Any:
        self._connection.request(method, path, body, headers or self._headers)
        return json.load(self._connection.getresponse())

    def next(self, connection: HTTPConnection) -> HTTPResponse | None:
        """The next page, not yet read; None after the last."""
        with self._lock:
            if self._locator == "null":
                return None
            more = f"&locator={self._locator}" if self._locator else ""
            path = f"{_API}/{self._job}/results?maxRecords=50000{more}"
            connection.request("GET", path, headers={**self._headers, "Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            self._locator = answer.headers["Sforce-Locator"]
            return answer

    def copy(self, warehouse: psycopg.Connection, statement: str) -> None:
        """All pages that this connection gets hold of."""
        source = HTTPConnection(self._host)
        with warehouse.cursor() as cursor:
            while (page := self.next(source)) is not None:
                unpack = self._unpacker(wbits=31)
                with cursor.copy(statement.encode()) as copy:
                    while packed := page.read(_READ):
                        while packed:
                            copy.write(unpack.decompress(packed, _UNPACKED))
                            packed = unpack.unconsumed_tail


def main() -> None:
    """Load."""
    wish = json.load(sys.stdin)
    pages = Pages(wish)
    make, copy, key = (wish["statements"][name] for name in ("make", "copy", "key"))
    if wish["connections"] == 1:
        with psycopg.connect(wish["dsn"]) as warehouse:
            warehouse.execute(make)
            pages.copy(warehouse, copy.replace("WITH (", "WITH (FREEZE, "))
            warehouse.execute(key)
        return
    with psycopg.connect(wish["dsn"], autocommit=True) as warehouse:
        warehouse.execute(make)
        threads = [threading.Thread(target=_share, args=(pages, wish["dsn"], copy)) for _ in range(wish["connections"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        warehouse.execute(key)


def _share(pages: Pages, dsn: str, copy: str) -> None:
    with psycopg.connect(dsn) as warehouse:
        pages.copy(warehouse, copy)


if __name__ == "__main__":
    main()
