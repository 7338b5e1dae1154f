"""What can be wrong with who and where."""

from orchestrator.kernel.errors import NotFoundError


class UnknownOrganizationError(NotFoundError):
    """No organization has this name."""

    code = "unknown_organization"

    def __init__(self, slug: str) -> None:
        super().__init__(
            f"There is no organization '{slug}' in this database.",
            hint="Run orchestrator init to create it, or correct ORCHESTRATOR_ORGANIZATION.",
            organization=slug,
        )
