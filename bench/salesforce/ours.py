"""The limit and our own ways from the org into the warehouse."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.lab.stage import PROGRAM
from bench.salesforce import limit
from bench.salesforce.measure import Program
from bench.salesforce.pipelines import Attempt, Kind, Lab, Pipeline
from bench.salesforce.warehouse import limit_statements
from orchestrator.drivers.plugin_store import recipe
from orchestrator.kernel import environment

TAP = ("extractors", "tap-salesforce", "orchestrator")
TARGET = ("loaders", "target-postgres-copy", "orchestrator")
BATCH: Mapping[str, Any] = {"format": "csv", "compression": "gzip"}


def _limit(connections: int, *, gunzip: str = "zlib") -> Pipeline:
    def begin(lab: Lab, schema: str) -> Attempt:
        wish = {
            **_session(lab),
            "url": lab.source.org.url,
            "dsn": lab.warehouse.dsn,
            "object": lab.source.name,
            "fields": list(lab.source.fields),
            "statements": limit_statements(lab.source, schema),
            "connections": connections,
            "gunzip": gunzip,
        }
        argv = (sys.executable, "-I", limit.__file__)
        program = Program(name="limit", argv=argv, env=_bare(), stdin=json.dumps(wish).encode())
        return Attempt(chain=(program,), schema=schema, table=lab.source.name)

    several = "one connection" if connections == 1 else f"{connections} connections"
    title = f"bare limit, {several}" + ("" if gunzip == "zlib" else f", {gunzip}")
    name = f"limit_{connections}" + ("" if gunzip == "zlib" else f"_{gunzip}")
    return Pipeline(name=name, title=title, kind=Kind.LIMIT, begin=begin)


def _tap_target(*, batch: bool) -> Pipeline:
    """The plugins' own programs, piped; no Meltano, no orchestrator."""

    def begin(lab: Lab, schema: str) -> Attempt:
        pages = lab.folder / schema
        pages.mkdir(mode=0o700)
        batches = {"batch_config": {"encoding": BATCH, "storage": {"root": pages.as_uri(), "prefix": ""}}}
        tap = {
            "auth": {"auth_type": "oauth_refresh", **_session(lab)},
            "domain": lab.source.org.url,
            "allow_private": True,
            "start_date": "2000-01-01",
            "streams": [lab.source.name],
            **(batches if batch else {}),
        }
        target = {
            "sqlalchemy_url": lab.warehouse.url,
            "default_target_schema": schema,
            **(batches if batch else {}),
        }
        return Attempt(
            chain=(
                Program(name="tap", argv=_plugin(lab, TAP, tap), env=_bare()),
                Program(name="target", argv=_plugin(lab, TARGET, target), env=_bare()),
            ),
            schema=schema,
            table=lab.source.name,
        )

    return Pipeline(
        name="tap_target" if batch else "tap_target_record",
        title="tap | target" + (", BATCH of Bulk pages" if batch else ", RECORD messages"),
        kind=Kind.OURS,
        begin=begin,
    )


def _sync() -> Pipeline:
    """What a person does: everything is inside, from the command's start to the settled run."""

    def begin(lab: Lab, schema: str) -> Attempt:
        integration = lab.at.salesforce(lab.source.org, name=schema.replace("_", " "), streams=(lab.source.name,))
        argv = (PROGRAM, "sync", integration.id, "--json")
        return Attempt(
            chain=(Program(name="orchestrator", argv=argv, env=lab.at.env),),
            schema=integration.target_schema,
            table=lab.source.name,
        )

    return Pipeline(name="sync", title="orchestrator sync", kind=Kind.OURS, begin=begin)


LIMITS = (_limit(1), _limit(2), _limit(1, gunzip="isal"))
BY_FILES = (_tap_target(batch=True), _sync())
BY_RECORDS = _tap_target(batch=False)


def _plugin(lab: Lab, which: tuple[Any, str, str], config: Mapping[str, Any]) -> tuple[Path | str, ...]:
    """A plugin's program and its configuration, which holds secrets: in a private file, not in argv."""
    file = lab.folder / f"{which[1]}.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(config), encoding="utf-8")
    program = lab.at.drivers.plugins.program(recipe(environment.project_root(), *which))
    return (program, "--config", file)


def _session(lab: Lab) -> dict[str, str]:
    return {name: lab.source.org.app[name] for name in ("client_id", "client_secret", "refresh_token")}


def _bare() -> dict[str, str]:
    """What a program needs to start, and nothing of this shell."""
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}
