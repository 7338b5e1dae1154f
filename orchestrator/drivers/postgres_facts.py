"""What a Postgres server says about itself and about the login that asks."""

from dataclasses import dataclass

from pydantic import SecretStr
from sqlalchemy import text

from orchestrator.kernel.db import Database, engine


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresFacts:
    """One database as its login sees it.

    version:             of the server, as it names it
    may_create_schemas:  whether the login may make schemas in this database
    """

    version: str
    may_create_schemas: bool


def of(db: Database) -> PostgresFacts:
    """Ask. Raises DatabaseAwayError."""
    asked = text("SELECT current_setting('server_version'), has_database_privilege(current_database(), 'CREATE')")
    with db.connection() as connection:
        version, may_create = connection.execute(asked).one()
    return PostgresFacts(version=version, may_create_schemas=may_create)


def at(address: SecretStr) -> PostgresFacts:
    """Ask the database at this address, over a connection of its own. Raises DatabaseAwayError, InvalidConfigError."""
    db = Database(engine(address))
    try:
        return of(db)
    finally:
        db.close()
