"""Looking at every integration at once, and noticing whose data becomes late."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.domains.health import rules
from orchestrator.domains.health.events import FreshnessChanged
from orchestrator.domains.health.types import Condition
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.runs import service as runs
from orchestrator.domains.schedules import service as schedules
from orchestrator.domains.schedules.types import Promise
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.db import DatabaseAwayError
from orchestrator.kernel.events import emit

log = logging.getLogger(__name__)
_LOOKS = 200  # a tick; what is due besides is for the next


def conditions(drivers: Drivers, org_id: str) -> list[Condition]:
    """How each of the organization's integrations is, what needs attention first."""
    promises = _by_integration(schedules.promises(drivers, org_id))
    facts = integrations.health_facts(drivers, org_id)
    alive = sum(one.alive for one in runs.workers(drivers))
    found = []
    for integration in integrations.listing(drivers, org_id):
        fresh = rules.freshness(promises[integration.id])
        known = facts[integration.id]
        wrong = rules.attention(integration, known, fresh, workers=alive)
        found.append(Condition(integration=integration, facts=known, freshness=fresh, attention=wrong))
    return sorted(found, key=rules.pressing)


def note_freshness(drivers: Drivers) -> None:
    """Look at the integrations whose data may have become late or fresh since, of every organization.

    Each change is an event, once however many workers look: whoever finds it holds the integration's row, where it
    stands whether it is late. Costs one look at an index where there is nothing to look at.
    """
    for org_id, ours in integrations.claim_due_looks(drivers, most=_LOOKS).items():
        try:
            _note(drivers, org_id, ours)
        except DatabaseAwayError:
            raise
        except Exception:  # whatever is wrong with one organization, the others don't wait for it
            log.exception("How new the data of %s is could not be looked at; it is tried again in a minute.", org_id)


def _note(drivers: Drivers, org_id: str, ours: Sequence[str]) -> None:
    with drivers.db.transaction(org_id) as tx:
        held = integrations.hold_lateness(tx, ours)
        enabled = [one.integration_id for one in held if one.enabled]
        promises = _by_integration(schedules.promised(tx, enabled, grace=drivers.settings.health.grace))
        for one in held:
            fresh = rules.freshness(promises[one.integration_id])
            late = fresh is not None and fresh.late
            integrations.note_lateness(tx, one.integration_id, late=late, look_at=rules.next_look(fresh))
            if late != one.late and one.there:
                fact = FreshnessChanged(
                    org_id=org_id,
                    integration_id=one.integration_id,
                    late=late,
                    as_of=None if fresh is None or fresh.as_of is None else fresh.as_of.isoformat(),
                    due=None if fresh is None else fresh.due.isoformat(),
                )
                emit(tx, fact)


def _by_integration(promises: Iterable[Promise]) -> Mapping[str, list[Promise]]:
    found: dict[str, list[Promise]] = defaultdict(list)
    for one in promises:
        found[one.schedule.integration_id].append(one)
    return found
