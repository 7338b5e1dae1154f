"""dlt with simple-salesforce, twice: as ingestr ships it, and as a person writes it."""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from bench.salesforce.measure import Program
from bench.salesforce.peers.surroundings import environ, folder, libpq_url, program, version
from bench.salesforce.pipelines import Attempt, Kind, Lab, Pipeline

_PIPELINE = Path(__file__).with_name("dlt_pipeline.py")
_SESSION = ("username", "password", "security_token")


def addresses(app: Mapping[str, str], warehouse: str) -> dict[str, str]:
    """Where ingestr reads and writes, as it takes them from its environment."""
    username, password, token = (app[name] for name in _SESSION)
    signed = urlencode({"username": username, "password": password, "token": token, "domain": "login"})
    return {"SOURCE_URI": f"salesforce://?{signed}", "DESTINATION_URI": libpq_url(warehouse)}


def _ingestr(lab: Lab, schema: str) -> Attempt:
    ingestr = program(lab.keep, "ingestr", "ingestr")
    own, table = folder(lab, schema), lab.source.name.lower()
    named = ("--source-table", f"custom:{lab.source.name}", "--dest-table", f"{schema}.{table}")
    argv = (ingestr, "ingest", *named, "--loader-file-format", "csv", "--progress", "log", "--yes")
    env = {**environ(lab, own), **addresses(lab.source.org.app, lab.warehouse.url)}
    return Attempt(chain=(Program(name="ingestr", argv=argv, env=env, cwd=own),), schema=schema, table=table)


def _dlt(lab: Lab, schema: str) -> Attempt:
    python = program(lab.keep, "dlt", "python")
    own, table = folder(lab, schema), lab.source.name.lower()
    wish = {
        **{name: lab.source.org.app[name] for name in _SESSION},
        "object": lab.source.name,
        "fields": lab.source.fields,
        "postgres": libpq_url(lab.warehouse.url),
        "schema": schema,
        "table": table,
    }
    argv, stdin = (python, "-I", _PIPELINE), json.dumps(wish).encode()
    chain = (Program(name="dlt", argv=argv, env=environ(lab, own), cwd=own, stdin=stdin),)
    return Attempt(chain=chain, schema=schema, table=table)


INGESTR = Pipeline(name="ingestr", title=f"ingestr {version('ingestr', 'ingestr')}", kind=Kind.PEER, begin=_ingestr)
DLT = Pipeline(
    name="dlt",
    title=f"dlt {version('dlt', 'dlt')}, simple-salesforce {version('dlt', 'simple-salesforce')}",
    kind=Kind.PEER,
    begin=_dlt,
)
