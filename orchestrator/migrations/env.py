"""Alembic's entry: always on the connection that `runner` (or a test) hands in."""

from alembic import context

import orchestrator.domains.catalog.tables
import orchestrator.domains.identity.tables
import orchestrator.domains.integrations.tables
import orchestrator.domains.oauth.tables
import orchestrator.domains.runs.tables
import orchestrator.domains.vault.tables
import orchestrator.kernel.events  # noqa: F401 - importing the tables puts them into the metadata
from orchestrator.kernel.db import SCHEMA, Table


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    return name == SCHEMA if kind == "schema" else True


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=_ours,
    compare_server_default=False,
    transactional_ddl=False,  # the transaction is the runner's
)
context.run_migrations()
