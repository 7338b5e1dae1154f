"""Who and where: ids of organizations and workspaces."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a person works: an organization and the workspace new integrations go to."""

    org_id: str
    organization: str
    workspace_id: str
    workspace: str
