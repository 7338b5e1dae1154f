"""How fast Salesforce's records reach Postgres: the bare limit, ours, and everybody else's, side by side.

All sides read the same local org, which is measured alone first, and load into the same Postgres, in turns. What a
run left behind is compared with the source, value by value, before its figures count. CPU is that of the programs
with everything they start (wait4), without Postgres, which is told beside it.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

from bench.lab import report
from bench.lab.stage import stage
from bench.salesforce import ours
from bench.salesforce.figures import Figures, Run
from bench.salesforce.measure import run
from bench.salesforce.pipelines import Lab, Pipeline
from bench.salesforce.source import source
from bench.salesforce.warehouse import Warehouse, WrongEndError


def measured(lab: Lab, pipeline: Pipeline) -> Run:
    """One run of one pipeline into a schema of its own, judged by what it left behind."""
    schema = f"bench_{uuid4().hex[:8]}"
    attempt = pipeline.begin(lab, schema)
    lab.warehouse.level()
    servers = {"postgres": lab.warehouse.pid, "org": lab.source.org.pid or 0}
    cost = run(attempt.chain, servers=servers)
    assert attempt.table
    end = lab.warehouse.end(lab.source, attempt.schema, attempt.table)
    lab.warehouse.drop(attempt.schema)
    if end.rows != lab.source.rows:
        raise WrongEndError(f"{pipeline.title} left {end.rows:,} records of {lab.source.rows:,}.")
    return Run(pipeline=pipeline.name, rows=end.rows, cost=cost, end=end)
