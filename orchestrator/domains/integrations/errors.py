"""What can be wrong with an integration."""

from collections.abc import Iterable
from difflib import get_close_matches

from orchestrator.kernel.errors import (
    ConflictError,
    ConnectionTestFailedError,
    InvalidConfigError,
    NotFoundError,
    UsageError,
)


def _near(wanted: str, known: Iterable[str], otherwise: str) -> str:
    near = get_close_matches(wanted.lower(), {name.lower(): name for name in known}, n=1, cutoff=0.5)
    by_lower = {name.lower(): name for name in known}
    return f"Did you mean '{by_lower[near[0]]}'?" if near else otherwise


class UnknownIntegrationError(NotFoundError):
    """No integration has this id, beginning of an id, or name."""

    code = "unknown_integration"

    def __init__(self, wanted: str, names: Iterable[str]) -> None:
        super().__init__(
            f"There is no integration '{wanted}'.",
            hint=_near(wanted, tuple(names), "See them all: orchestrator integrations list."),
            wanted=wanted,
        )


class AmbiguousIntegrationError(UsageError):
    """The beginning of an id fits several integrations."""

    code = "ambiguous_integration"

    def __init__(self, wanted: str, ids: tuple[str, ...]) -> None:
        super().__init__(
            f"'{wanted}' fits {len(ids)} integrations: {', '.join(ids[:5])}.", hint="Give more of the id, or the name."
        )


class UnknownDestinationError(NotFoundError):
    """No destination has this name."""

    code = "unknown_destination"

    def __init__(self, wanted: str, names: Iterable[str]) -> None:
        known = tuple(names)
        there = f"There are: {', '.join(known)}." if known else "Run orchestrator init first."
        super().__init__(f"There is no destination '{wanted}'.", hint=_near(wanted, known, there))


class NameTakenError(ConflictError):
    """Two integrations of a workspace can't share a name, nor two of a destination a schema."""

    code = "name_taken"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"Another integration already has the {what} '{name}'.", hint="Choose another one.", name=name)


class NotADraftError(ConflictError):
    """Only a draft that never ran can be removed for good."""

    code = "not_a_draft"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"'{name}' is no draft any more, so it can't be discarded: its history is kept.",
            hint=f"Delete it, which can be undone: orchestrator integrations delete {name!r}.",
        )


class InvalidIntegrationConfigError(InvalidConfigError):
    """Fields of the connector's form don't fit."""

    code = "invalid_integration_config"

    def __init__(self, title: str, problems: tuple[tuple[str, str], ...]) -> None:
        listing = "; ".join(f"{path}: {text}" for path, text in problems)
        super().__init__(
            f"This {title} configuration can't be used: {listing}",
            hint="Correct these fields; nothing was saved.",
            problems=problems,
        )


class UnknownStreamError(NotFoundError):
    """The integration has no stream of that name, or none that the pattern fits."""

    code = "unknown_stream"

    def __init__(self, wanted: str, names: Iterable[str]) -> None:
        known = tuple(names)
        otherwise = (
            "See them all: orchestrator streams <id> list." if known else "Run orchestrator discover <id> first."
        )
        super().__init__(f"No stream fits '{wanted}'.", hint=_near(wanted, known, otherwise), wanted=wanted)


class StreamModeError(InvalidConfigError):
    """The stream can't be read in that way."""

    code = "stream_mode"

    def __init__(self, stream: str, mode: str) -> None:
        super().__init__(
            f"'{stream}' can't be read as {mode}: its source offers no column to tell changes by.",
            hint="Use full_table for this stream.",
            stream=stream,
        )


class IntegrationBusyError(ConflictError):
    """What is running is not deleted."""

    code = "integration_busy"

    def __init__(self, name: str, run_id: str) -> None:
        super().__init__(
            f"'{name}' has a run under way ({run_id}), so it is not deleted.",
            hint=f"Stop it first: orchestrator runs cancel {run_id}.",
            run_id=run_id,
        )


class BackfillUnsupportedError(ConflictError):
    """The source's plugin can begin at a time, but not end at one."""

    code = "backfill_unsupported"

    def __init__(self, name: str, connector: str, variant: str) -> None:
        super().__init__(
            f"'{name}' can't be backfilled: {connector}'s plugin ({variant}) knows no end of a window.",
            hint=f"Read the streams anew instead: orchestrator sync {name!r} --stream <stream> --full-refresh.",
        )


class NotIncrementalError(ConflictError):
    """The stream is read whole each time, so there is no window of it."""

    code = "not_incremental"

    def __init__(self, name: str, stream: str) -> None:
        super().__init__(
            f"'{stream}' is read whole each time, so no window of it can be read.",
            hint=f"Every sync reads all of it: orchestrator sync {name!r} --stream {stream!r}.",
            stream=stream,
        )


class DryRunUnsupportedError(ConflictError):
    """Only a Postgres has schemas that a dry run can load into."""

    code = "dry_run_unsupported"

    def __init__(self, destination: str, connector: str) -> None:
        super().__init__(
            f"Dry runs need a warehouse in Postgres; '{destination}' is {connector}.",
            hint="See what a sync would read: orchestrator plan <id>.",
        )


class NothingSelectedError(ConflictError):
    """A sync without any stream would do nothing."""

    code = "nothing_selected"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"No stream of '{name}' is selected.",
            hint=f"Choose some: orchestrator streams {name!r} select 'Account' 'Contact'.",
        )


class SameTableError(ConflictError):
    """Two streams would be loaded over each other."""

    code = "same_table"

    def __init__(self, streams: tuple[str, ...], table: str) -> None:
        super().__init__(
            f"{' and '.join(repr(one) for one in streams)} would be loaded into the same table '{table}'.",
            hint="Deselect all but one; another integration, with a schema of its own, can read the others.",
            streams=list(streams),
        )


class DisabledError(ConflictError):
    """The integration was switched off."""

    code = "integration_disabled"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"'{name}' is disabled.", hint=f"Switch it on first: orchestrator integrations enable {name!r}."
        )


class WatchOptionError(UsageError):
    """A value of --check-every or --disable-after that is neither of its kind nor `off` nor `default`."""

    code = "watch_option"

    def __init__(self, option: str, given: str) -> None:
        kind = (
            "a time such as 30m" if option == "--check-every" else "a number from 2 to 1,000, as a warning comes first"
        )
        super().__init__(f"'{given}' is nothing for {option}.", hint=f"Give {kind}, or off, or default.")


class FailedTestError(ConnectionTestFailedError):
    """A named check did not pass."""

    def __init__(self, name: str, check: str, message: str, hint: str) -> None:
        super().__init__(f"{name}: {check} failed. {message}", hint=hint, check=check)


class CheckFailedError(ConnectionTestFailedError):
    """What a check found, in the provider's or the plugin's own words."""

    code = "check_failed"

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)


class SignInRefusedError(CheckFailedError):
    """The provider let a check with our token not in."""

    code = "sign_in_refused"
