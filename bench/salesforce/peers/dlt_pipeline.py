"""A plain dlt pipeline over simple-salesforce's Bulk, run by the Python of an environment that has both.

One JSON object on stdin: username, password, security_token; object and fields (name → Postgres type); postgres: a URL;
schema, table.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dlt  # type: ignore[import-not-found]  # in the peer's environment only
from simple_salesforce import Salesforce  # type: ignore[import-not-found]

_MOMENT = "timestamp with time zone"
_HINTS: Mapping[str, Mapping[str, Any]] = {
    "boolean": {"data_type": "bool"},
    "bigint": {"data_type": "bigint"},
    "numeric": {"data_type": "decimal", "precision": 38, "scale": 18},  # dlt's own scale, 9, cuts what Salesforce has
    "date": {"data_type": "date"},
    _MOMENT: {"data_type": "timestamp"},
    "text": {"data_type": "text"},
}


def main() -> None:
    """Load."""
    wish = json.load(sys.stdin)
    session = {name: wish[name] for name in ("username", "password", "security_token")}
    bulk = getattr(Salesforce(**session, domain="login").bulk, wish["object"])
    query = f"SELECT {', '.join(wish['fields'])} FROM {wish['object']}"  # noqa: S608 - SOQL, of our own names
    moments = [name for name, kind in wish["fields"].items() if kind == _MOMENT]
    # dlt writes into what it is given: a hint for each column
    columns = {name: {**_HINTS[kind]} for name, kind in wish["fields"].items() if kind in _HINTS}

    def records() -> Iterator[list[dict[str, Any]]]:
        for page in bulk.query_all(query, lazy_operation=True):
            for record in page:
                del record["attributes"]
                for name in moments:
                    if record[name] is not None:
                        record[name] = datetime.fromtimestamp(record[name] / 1000, UTC)
            yield page

    resource = dlt.resource(records, name=wish["table"], write_disposition="replace", primary_key="Id", columns=columns)
    destination = dlt.destinations.postgres(wish["postgres"])
    pipeline = dlt.pipeline("salesforce", destination=destination, dataset_name=wish["schema"])
    pipeline.run(resource, loader_file_format="csv")
    with pipeline.sql_client() as client:
        client.execute_sql(f"ALTER TABLE {client.make_qualified_table_name(wish['table'])} ADD PRIMARY KEY (id)")


if __name__ == "__main__":
    main()
