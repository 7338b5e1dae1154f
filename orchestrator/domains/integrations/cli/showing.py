"""Integrations and their parts in words and in JSON."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.domains.integrations import rules
from orchestrator.domains.integrations.types import (
    CheckResult,
    DisplayStatus,
    HealthFacts,
    Integration,
    SetupState,
    Stream,
    StreamChange,
    Trouble,
    Verdict,
)
from orchestrator.kernel import durations
from orchestrator.kernel.settings import HealthSettings

_STATUS = {
    DisplayStatus.NOT_CONNECTED: "○ not connected",
    DisplayStatus.CONNECTING: "◐ connecting",
    DisplayStatus.CONNECTED: "● connected",
    DisplayStatus.NEEDS_ATTENTION: "⚠ needs attention",
    DisplayStatus.DISCONNECTED: "× disconnected",
}
MARKS = {Verdict.PASSED: "✓", Verdict.FAILED: "×", Verdict.SKIPPED: "–"}
COLORS = {Verdict.PASSED: "green", Verdict.FAILED: "bold red", Verdict.SKIPPED: "dim"}
_FEW = 5


def status(integration: Integration, health: HealthFacts | None = None) -> str:
    """Shape and word; the word says why where the status alone leaves it open."""
    if health is not None and health.disabled_at is not None:
        return "⚠ disabled by failures"
    if integration.setup_state is SetupState.DRAFT:
        return "◐ draft"
    return _STATUS[rules.display_status(integration)] if integration.enabled else "× disabled"


def health_lines(health: HealthFacts, settings: HealthSettings) -> dict[str, Any]:
    """What lies behind the word for its health, a line each; only what there is to say."""
    wrong = health.trouble or health.check_trouble
    limit = rules.disable_after_of(health, settings.disable_after)
    every = settings.check_every if health.check_every is None else health.check_every
    lines = {
        "what was wrong": wrong.message if wrong else None,
        "what to do": wrong.hint if wrong and wrong.hint else None,
        "failed in a row": health.failures or None,
        "disabled": health.disabled_at,
    }
    return {
        **{name: value for name, value in lines.items() if value is not None},
        "last success": health.last_success_at or "never",
        "checked": health.checked_at or "never",
        "checks": f"every {durations.spoken(every)} without a sync" if every else "off",
        "disabled after": f"{limit} failures that a person must mend" if limit else "never",
    }


def health_json(health: HealthFacts) -> dict[str, Any]:
    """What lies behind the word for its health."""
    return {
        "last_success_at": health.last_success_at,
        "failures": health.failures,
        "trouble": _trouble_json(health.trouble or health.check_trouble),
        "checked_at": health.checked_at,
        "next_check_at": health.next_check_at,
        "check_every": health.check_every,
        "disable_after": health.disable_after,
        "warned_at": health.warned_at,
        "disabled_at": health.disabled_at,
    }


def _trouble_json(trouble: Trouble | None) -> dict[str, Any] | None:
    if trouble is None:
        return None
    return {"message": trouble.message, "hint": trouble.hint, "needs_a_person": trouble.needs_a_person}


def selection(counts: tuple[int, int] | None) -> str:
    """How many streams are selected, of how many."""
    return "–" if counts is None else f"{counts[0]:,} of {counts[1]:,}"


def few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {rest:,} more" if rest > 0 else "")


def many(names: Sequence[str]) -> str:
    """How many names, and the first of them."""
    return f"{len(names):,} ({few(names)})" if names else "none"


def plain(value: Any) -> str:
    """A value of a configuration as people write it; of a secret only whether it is set."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def flat(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterable[tuple[str, Any]]:
    """Every value of a nested configuration with its dotted path; the state of a secret stays whole."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value.keys() != {"set", "updated_at"}:
            yield from flat(value, (*above, name))
        else:
            yield ".".join((*above, name)), value


def integration_json(integration: Integration, counts: tuple[int, int] | None = None, **more: Any) -> dict[str, Any]:
    """An integration as one document."""
    selected, total = counts or (0, 0)
    return {
        "id": integration.id,
        "name": integration.name,
        "connector": integration.type,
        "variant": integration.variant,
        "status": rules.display_status(integration),
        "setup_state": integration.setup_state,
        "enabled": integration.enabled,
        "health": integration.health,
        "schema": integration.target_schema,
        "streams": {"selected": selected, "total": total},
        "tested_at": integration.tested_at,
        "discovered_at": integration.discovered_at,
        "created_at": integration.created_at,
        "updated_at": integration.updated_at,
        "deleted_at": integration.deleted_at,
        **more,
    }


def check_json(result: CheckResult) -> dict[str, Any]:
    """A check as one document."""
    return {
        "name": result.name,
        "title": result.title,
        "verdict": result.verdict,
        "message": result.message,
        "hint": result.hint,
        "needs_sign_in": result.needs_sign_in,
        "seconds": round(result.seconds, 2),
    }


def change_json(change: StreamChange) -> dict[str, Any]:
    """What a discovery changed."""
    return {
        "total": change.total,
        "added": list(change.added),
        "gone": list(change.gone),
        "left_out": list(change.left_out),
    }


def stream_json(stream: Stream) -> dict[str, Any]:
    """A stream and what is chosen of it."""
    return {
        "stream": stream.name,
        "selected": stream.selected,
        "mode": stream.mode,
        "modes": rules.modes(stream.entry),
        "key": rules.primary_key(stream.entry),
        "replication_key": rules.replication_key(stream.entry),
        "fields_total": len(rules.fields(stream.entry)),
        "fields_read": len(rules.read_fields(stream)),
        "fields_left_out": stream.deselected_fields,
        "discovered_at": stream.discovered_at,
        "gone_at": stream.gone_at,
    }
