"""Alembic's entry: always on the connection that `runner` (or a test) hands in."""

from alembic import context

import orchestrator.migrations.env_tables  # noqa: F401 - fills the metadata
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
