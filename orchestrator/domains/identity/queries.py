"""SQL about organizations and workspaces."""

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from orchestrator.domains.identity.tables import OrganizationRow, WorkspaceRow
from orchestrator.domains.identity.types import Place
from orchestrator.kernel import ids


def organization_named(tx: Session, slug: str) -> str | None:
    """The id behind a slug, seen across organizations by a reviewed function."""
    found = tx.scalar(select(func.orchestrator.organization_named(slug)))
    return None if found is None else ids.encode("org", found)


def organization_ids(tx: Session) -> list[str]:
    """Every organization, oldest first, by a reviewed function."""
    return [ids.encode("org", row[0]) for row in tx.execute(text("SELECT orchestrator.organization_ids()"))]


def insert_organization(tx: Session, org_id: str, *, slug: str) -> None:
    """Add the organization and its default workspace; nothing happens where they are there already."""
    tx.execute(insert(OrganizationRow).values(id=org_id, slug=slug, name=slug).on_conflict_do_nothing())
    workspace = insert(WorkspaceRow).values(org_id=org_id, id=ids.new("wsp"), slug="default", name="Default")
    tx.execute(workspace.on_conflict_do_nothing())


def place(tx: Session, org_id: str) -> Place:
    """The organization and its default workspace."""
    wanted = (
        select(OrganizationRow.slug, WorkspaceRow.id, WorkspaceRow.slug)
        .join(WorkspaceRow, WorkspaceRow.org_id == OrganizationRow.id)
        .where(OrganizationRow.id == org_id, WorkspaceRow.slug == "default")
    )
    organization, workspace_id, workspace = tx.execute(wanted).one()
    return Place(org_id=org_id, organization=organization, workspace_id=workspace_id, workspace=workspace)
