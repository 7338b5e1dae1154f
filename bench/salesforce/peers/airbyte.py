"""Airbyte's source, started as its platform starts it; what it says goes to a file."""

import json
from pathlib import Path
from typing import Any

from bench.salesforce.measure import Program
from bench.salesforce.peers.surroundings import environ, folder, private, program, version
from bench.salesforce.pipelines import Attempt, Kind, Lab, Pipeline

_NAME = "airbyte"
_INTO_FILE = 'exec "$@" > records.jsonl'


def config(app: dict[str, str]) -> dict[str, Any]:
    """What the source is asked with: Bulk, which it takes for Contact only if it is forced to."""
    return {
        "auth_type": "Client",
        **{name: app[name] for name in ("client_id", "client_secret", "refresh_token")},
        "start_date": "2000-01-01T00:00:00Z",
        "force_use_bulk_api": True,
    }


def catalog(stream: str) -> dict[str, Any]:
    """One stream, all of it."""
    described = {"name": stream, "json_schema": {"type": "object"}, "supported_sync_modes": ["full_refresh"]}
    chosen = {"stream": described, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
    return {"streams": [chosen]}


def arrived(file: Path) -> int:
    """How many different records were said."""
    with file.open(encoding="utf-8") as lines:
        said = (json.loads(line) for line in lines if line.startswith("{"))
        return len({one["record"]["data"]["Id"] for one in said if one.get("type") == "RECORD"})


def _begin(lab: Lab, schema: str) -> Attempt:
    source = program(lab.keep, _NAME, "source-salesforce")
    own = folder(lab, schema)
    asked = private(own / "config.json", json.dumps(config(lab.source.org.app)))
    chosen = private(own / "catalog.json", json.dumps(catalog(lab.source.name)))
    argv = ("/bin/sh", "-c", _INTO_FILE, "sh", source, "read", "--config", asked, "--catalog", chosen)
    return Attempt(
        chain=(Program(name=_NAME, argv=argv, env=environ(lab, own), cwd=own),),
        schema=schema,
        table=None,
        counted=lambda: arrived(own / "records.jsonl"),
    )


AIRBYTE = Pipeline(
    name=_NAME,
    title=f"airbyte-source-salesforce {version(_NAME, 'airbyte-source-salesforce')}, into a file",
    kind=Kind.PEER,
    begin=_begin,
)
