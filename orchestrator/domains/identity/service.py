"""Organizations: made at init, found by name."""

from sqlalchemy.exc import IntegrityError

from orchestrator.domains.identity import queries
from orchestrator.domains.identity.errors import UnknownOrganizationError
from orchestrator.domains.identity.types import Place
from orchestrator.kernel import ids
from orchestrator.kernel.db import Database


def ensure(db: Database, slug: str) -> Place:
    """The organization of this name and its default workspace, made where missing; safe to do twice at once."""
    with db.anonymous() as tx:
        org_id = queries.organization_named(tx, slug)
    if org_id is None:
        org_id = ids.new("org")
        try:
            with db.transaction(org_id) as tx:
                queries.insert_organization(tx, org_id, slug=slug)
        except IntegrityError:  # somebody else was faster: theirs counts
            pass
    return find(db, slug)


def find(db: Database, slug: str) -> Place:
    """The organization of this name. Raises UnknownOrganizationError."""
    with db.anonymous() as tx:
        org_id = queries.organization_named(tx, slug)
    if org_id is None:
        raise UnknownOrganizationError(slug)
    with db.transaction(org_id) as tx:
        return queries.place(tx, org_id)


def organization_ids(db: Database) -> list[str]:
    """Every organization of this database, oldest first; for work that goes through all of them one by one."""
    with db.anonymous() as tx:
        return queries.organization_ids(tx)
