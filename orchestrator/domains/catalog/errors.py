"""What can go wrong with the catalog."""

from difflib import get_close_matches

from orchestrator.kernel.errors import InvalidConfigError, NotAllowedError, NotFoundError, OrchestratorError


class UnknownConnectorError(NotFoundError):
    """No connector file has that name."""

    code = "unknown_connector"

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        near = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        super().__init__(
            f"There is no connector '{name}'.",
            hint=f"Did you mean {near[0]}?" if near else "See what there is: orchestrator connectors list.",
            connector=name,
        )


class UnknownVariantError(NotFoundError):
    """The connector has no plugin of that name."""

    code = "unknown_variant"

    def __init__(self, connector: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"{connector} has no variant '{name}'.",
            hint=f"It has {', '.join(known)}.",
            connector=connector,
            variant=name,
        )


class BrokenConnectorError(OrchestratorError):
    """The connector's file is there but can't be used."""

    code = "broken_connector"

    def __init__(self, file: str, reasons: tuple[str, ...]) -> None:
        super().__init__(
            f"The connector file {file} can't be used: {'; '.join(reasons)}",
            hint=f"Correct schemas/connectors/{file}; the other connectors still work.",
            file=file,
            reasons=list(reasons),
        )


class ConnectorNotAvailableError(NotAllowedError):
    """The connector can't be added: not ready yet, or switched off by the operator."""

    code = "connector_not_available"

    def __init__(self, name: str, title: str, *, coming_soon: bool) -> None:
        super().__init__(
            f"{title} is coming soon and can't be added yet." if coming_soon else f"{title} is switched off here.",
            hint="See what can be added: orchestrator connectors list."
            if coming_soon
            else "Ask the operator of this installation to switch it on.",
            connector=name,
        )


class InvalidValueError(InvalidConfigError):
    """A typed-in text is not a value of its field."""

    code = "invalid_value"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message, problems=((path, message),))


class MissingSessionError(OrchestratorError):
    """Settings were asked for a plugin that we sign in for, without a session."""

    code = "missing_session"

    def __init__(self, variant: str) -> None:
        super().__init__(f"{variant} needs a session, and none was given.")


class MissingFactError(OrchestratorError):
    """A plugin needs a fact of the installation that the caller did not give."""

    code = "missing_fact"

    def __init__(self, name: str) -> None:
        super().__init__(f"A setting is filled from the installation's '{name}', which was not given.")


class UnfilledTemplateError(InvalidConfigError):
    """An address of the connector needs a value the configuration doesn't have."""

    code = "unfilled_template"

    def __init__(self, name: str) -> None:
        message = f"{name} is needed for an address of this connector and is missing."
        super().__init__(message, hint="Fill it in: orchestrator integrations edit.", problems=((name, message),))
