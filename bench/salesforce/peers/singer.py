"""The Singer community's tap by Bulk 1.0, piped into MeltanoLabs' loader: both as the product offers them, bare."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.salesforce.measure import Program
from bench.salesforce.peers.surroundings import environ, folder, private, program, version
from bench.salesforce.pipelines import Attempt, Kind, Lab, Pipeline, UnavailableError

_TAP, _TARGET = "tap-salesforce--singer-io", "target-postgres--meltanolabs"
_KEY = "SystemModstamp"
_DISCOVER_SECONDS = 120


def config(app: Mapping[str, str]) -> dict[str, Any]:
    """The tap's settings. Its fastest API is Bulk 1.0."""
    return {
        **{name: app[name] for name in ("client_id", "client_secret", "refresh_token")},
        "start_date": "2000-01-01T00:00:00Z",
        "api_type": "BULK",
        "select_fields_by_default": "true",
    }


def catalog(discovered: Mapping[str, Any], stream: str) -> dict[str, Any]:
    """What was discovered, with one stream selected, and its replication key, which discovery only proposes."""
    (entry,) = (entry for entry in discovered["streams"] if entry["tap_stream_id"] == stream)
    for one in entry["metadata"]:
        if not one["breadcrumb"]:
            one["metadata"] |= {"selected": True, "replication-method": "INCREMENTAL", "replication-key": _KEY}
    return {"streams": [entry]}


def _begin(lab: Lab, schema: str) -> Attempt:
    tap, target = program(lab.keep, _TAP, "tap-salesforce"), program(lab.keep, _TARGET, "target-postgres")
    own = folder(lab, schema)
    env = environ(lab, own)
    asked = private(own / "tap.json", json.dumps(config(lab.source.org.app)))
    found = catalog(_discovered(tap, asked, env), lab.source.name)
    chosen = private(own / "catalog.json", json.dumps(found))
    into = {"sqlalchemy_url": lab.warehouse.url, "default_target_schema": schema}
    loads = private(own / "target.json", json.dumps(into))
    return Attempt(
        chain=(
            Program(name="tap", argv=(tap, "--config", asked, "--properties", chosen), env=env, cwd=own),
            Program(name="target", argv=(target, "--config", loads), env=env, cwd=own),
        ),
        schema=schema,
        table=lab.source.name,
    )


def _discovered(tap: Path, asked: Path, env: Mapping[str, str]) -> dict[str, Any]:
    command = (str(tap), "--config", str(asked), "--discover")
    done = subprocess.run(command, env=dict(env), capture_output=True, check=False, timeout=_DISCOVER_SECONDS)
    if done.returncode:
        raise UnavailableError(f"The tap discovers nothing: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return dict(json.loads(done.stdout))


SINGER = Pipeline(
    name="singer",
    title=f"tap-salesforce {version(_TAP, 'tap-salesforce')} | "
    f"meltanolabs-target-postgres {version(_TARGET, 'meltanolabs-target-postgres')}",
    kind=Kind.PEER,
    begin=_begin,
)
