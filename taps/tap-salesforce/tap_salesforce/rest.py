"""Reads a query page by page over REST. source: REST API guide, "Query" and "QueryAll"."""

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from tap_salesforce import advice, soql
from tap_salesforce.client import Client
from tap_salesforce.errors import AnswerError
from tap_salesforce.pages import Trail

log = logging.getLogger("tap-salesforce")
_RESTARTS = 2  # how often an expired cursor is opened anew

Rows = list[list[str | None]]


class Rest:
    """Queries of one org, by queryAll: what is in the recycle bin comes, and activities that are archived."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def pages(self, query: str, fields: Sequence[str]) -> Iterator[Rows]:
        """Pages of rows (≤ 2,000), the cells in the order of `fields`.

        A lost page is asked for again by itself. Salesforce forgets cursors after a while (or when many are
        open): then the query begins again and rows may come twice.
        """
        length = soql.length_in_uri(query)
        if length > soql.LONGEST_REST:
            bulk = ", or set api_type to BULK2 if Bulk serves the object"
            raise advice.too_long(
                fields, length=length, limit=soql.LONGEST_REST, way="REST", comma=len("%2C"), otherwise=bulk
            )
        for restart in range(_RESTARTS + 1):
            try:
                yield from self._pages(query, fields)
            except AnswerError as refused:
                if refused.code != "INVALID_QUERY_LOCATOR" or restart == _RESTARTS:
                    raise
                log.info("Salesforce has forgotten the cursor; the query begins again.")
            else:
                return

    def _pages(self, query: str, fields: Sequence[str]) -> Iterator[Rows]:
        page, trail = self._client.json("GET", "queryAll", params={"q": query}), Trail()
        while True:
            yield [[_text(record.get(name)) for name in fields] for record in page["records"]]
            if page.get("done", True):
                return
            page = self._client.json("GET", trail.go(page["nextRecordsUrl"]))

    def count(self, query: str) -> int | None:
        """What a SELECT COUNT() query answers; None when the org is too large to count."""
        try:
            return int(self._client.json("GET", "queryAll", params={"q": query})["totalSize"])
        except AnswerError as refused:
            if refused.code in ("QUERY_TIMEOUT", "OPERATION_TOO_LARGE"):
                return None
            raise


def _text(value: Any) -> str | None:
    """A JSON value as the text Bulk would send. Numbers are text already (see client.json)."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)
