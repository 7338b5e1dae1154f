"""What a failure is: told by a plugin, known by its error line, or foreseen by us."""

import json
import shlex
from dataclasses import replace

from orchestrator.domains.oauth.errors import ReauthNeededError
from orchestrator.domains.runs.rules import signatures
from orchestrator.domains.runs.rules.outcome import Outcome
from orchestrator.domains.runs.types import Failure, FailureKind, Origin, Remedy, RunStatus
from orchestrator.drivers.http import UnreachableError
from orchestrator.kernel.errors import (
    ActionNeededError,
    InvalidConfigError,
    NotAllowedError,
    OrchestratorError,
    TemporaryError,
)

_FAILURE = "FAILURE: "  # how plugins of ours announce one, as JSON; source: README of taps/tap-salesforce


def explain(outcome: Outcome) -> Failure:
    """The most telling error line as a failure; what a plugin of ours announced comes before every other line."""
    for line in reversed(outcome.complaints):
        if told := _told(line):
            return told
    for line in reversed(outcome.complaints):
        known = signatures.of(line, side=outcome.side)
        if known is not None:
            origin = outcome.side or known.origin or Origin.PLATFORM
            return Failure(
                kind=known.kind or _own_kind(origin),
                origin=origin,
                message=line,
                hint=known.hint,
                retryable=known.retryable,
                signature=known.id,
            )
    side = outcome.side or Origin.PLATFORM
    said = outcome.complaints[-1] if outcome.complaints else f"Meltano ended with exit status {outcome.exit_code}."
    return Failure(
        kind=_own_kind(side),
        origin=side,
        message=said,
        hint="The log tells more: orchestrator runs logs <run>.",
        retryable=True,
    )


def _own_kind(side: Origin) -> FailureKind:
    kinds = {Origin.SOURCE: FailureKind.SOURCE_ERROR, Origin.DESTINATION: FailureKind.DESTINATION_ERROR}
    return kinds.get(side, FailureKind.INTERNAL)


def _told(line: str) -> Failure | None:
    """The failure a plugin of ours put into words itself; None where the line holds none."""
    _, marker, document = line.partition(_FAILURE)
    if not marker:
        return None
    try:
        facts = json.loads(document)
        kind, origin, message = FailureKind(facts["kind"]), Origin(facts["origin"]), str(facts["message"])
        return Failure(
            kind=kind,
            origin=origin,
            message=message,
            hint=f"{facts.get('hint', '')} {_command(kind, origin, remedy=facts.get('remedy'))}".strip(),
            retryable=facts.get("retryable") is True,
            retry_after=_seconds(facts.get("retry_after")),
            signature=_known(kind, message, side=origin),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _known(kind: FailureKind, message: str, *, side: Origin) -> str | None:
    """The signature behind a message whose kind is known, so that its cause and who can help are; None without one."""
    known = signatures.of(message, side=side)
    fits = known is not None and known.kind in ({kind, None} if kind is _own_kind(side) else {kind})
    return known.id if known is not None and fits else None


def _command(kind: FailureKind, origin: Origin, *, remedy: object) -> str:
    """Our command or setting for what a plugin's hint asks for; a plugin knows none. Empty where there is none.

    remedy: what the plugin named as one; it may be anything, and only chooses among our sentences
    """
    if remedy == Remedy.FULL_REFRESH:
        return "Full refresh: orchestrator sync <id> --full-refresh."
    if kind is FailureKind.SCHEMA_VIOLATION:
        return "Discovery: orchestrator discover <id>."
    if origin is Origin.SOURCE and kind in {FailureKind.AUTH_EXPIRED, FailureKind.CONFIG_ERROR}:
        return "Its settings: orchestrator integrations edit <id>."
    if (kind, origin) == (FailureKind.INTERNAL, Origin.PLATFORM):
        return "Where runs have their files: ORCHESTRATOR_RUNS__DIRECTORY."
    return ""


def _seconds(said: object) -> float | None:
    return float(said) if isinstance(said, int | float) and 0 <= said <= _LONGEST_ASKED else None


_LONGEST_ASKED = 24 * 3600


def addressed(failure: Failure, *, run_id: str, integration: str) -> Failure:
    """The failure with its hint about this run and this integration, so that its commands can be copied."""
    hint = failure.hint.replace("<run>", run_id).replace("<id>", shlex.quote(integration))
    return replace(failure, hint=hint)


def refused(error: OrchestratorError) -> Failure:
    """A foreseen error before or around the run, as its failure; a refused sign-in is the source's."""
    kinds = {
        ReauthNeededError: FailureKind.AUTH_EXPIRED,
        ActionNeededError: FailureKind.CONFIG_ERROR,
        InvalidConfigError: FailureKind.CONFIG_ERROR,
        NotAllowedError: FailureKind.PERMISSION_MISSING,
    }
    kind = next((kind for cause, kind in kinds.items() if isinstance(error, cause)), FailureKind.INTERNAL)
    known = signatures.of(error.message, side=Origin.PLATFORM) if isinstance(error, UnreachableError) else None
    kind = (known and known.kind) or kind
    return Failure(
        kind=kind,
        origin=Origin.SOURCE if kind is FailureKind.AUTH_EXPIRED else Origin.PLATFORM,
        message=error.message,
        hint=error.hint,
        retryable=known.retryable if known else isinstance(error, TemporaryError),
        signature=known.id if known else None,
    )


def sign_in_works(status: RunStatus, failure: Failure | None) -> bool | None:
    """Whether the run showed that signing in works, or that it needs a person; None where it showed neither."""
    if failure is not None and failure.kind is FailureKind.AUTH_EXPIRED:
        return False
    return True if status in {RunStatus.SUCCEEDED, RunStatus.PARTIAL} else None


def worker_lost() -> Failure:
    """What a run is told whose worker died."""
    return Failure(
        kind=FailureKind.WORKER_LOST,
        origin=Origin.PLATFORM,
        message="The process that ran this sync ended without finishing it.",
        hint="Sync again: it goes on from the last committed state.",
        retryable=True,
    )
