"""Looking at every integration at once."""

from collections import defaultdict

from orchestrator.domains.health import rules
from orchestrator.domains.health.types import Condition
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.runs import service as runs
from orchestrator.domains.schedules import service as schedules
from orchestrator.domains.schedules.types import Promise
from orchestrator.drivers.bundle import Drivers


def conditions(drivers: Drivers, org_id: str) -> list[Condition]:
    """How each of the organization's integrations is, what needs attention first."""
    promises: dict[str, list[Promise]] = defaultdict(list)
    for one in schedules.promises(drivers, org_id):
        promises[one.schedule.integration_id].append(one)
    facts = integrations.health_facts(drivers, org_id)
    alive = sum(one.alive for one in runs.workers(drivers))
    found = []
    for integration in integrations.listing(drivers, org_id):
        fresh = rules.freshness(promises[integration.id])
        known = facts[integration.id]
        wrong = rules.attention(integration, known, fresh, workers=alive)
        found.append(Condition(integration=integration, facts=known, freshness=fresh, attention=wrong))
    return sorted(found, key=rules.pressing)
