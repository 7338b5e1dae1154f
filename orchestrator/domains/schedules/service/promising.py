"""What schedules promise, held against what was synced."""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.types import Success
from orchestrator.domains.schedules import queries, rules
from orchestrator.domains.schedules.types import Promise, Schedule
from orchestrator.drivers.bundle import Drivers

log = logging.getLogger(__name__)


def promises(drivers: Drivers, org_id: str) -> list[Promise]:
    """Of every schedule that promises something, when its next success is to be there, and whether it is late.

    Schedules of disabled integrations promise nothing; the database's clock says what is late.
    """
    enabled = [one.id for one in integrations.listing(drivers, org_id) if one.enabled]
    with drivers.db.transaction(org_id) as tx:
        return promised(tx, enabled, grace=drivers.settings.health.grace)


def promised(tx: Session, integration_ids: Collection[str], *, grace: timedelta) -> list[Promise]:
    """The same of these integrations, which are enabled. Of a schedule that nobody can read, what it named last."""
    now = queries.now(tx)
    there = queries.schedules(tx, only=integration_ids)
    newest = runs.newest_successes(tx, [(one.integration_id, one.streams) for one in there])
    found = []
    for schedule, success in zip(there, newest, strict=True):
        due = _due(schedule, success, grace)
        if due is not None:
            found.append(Promise(schedule=schedule, due=due, late=due < now, as_of=success.began if success else None))
    return found


def _due(schedule: Schedule, success: Success | None, grace: timedelta) -> datetime | None:
    began = success.began if success else None
    took = success.ended - success.began if success else timedelta(0)
    try:
        return rules.promised(schedule, last_began=began, took=took, grace=grace)
    except Exception as error:  # noqa: BLE001 - whatever it is, this one and the others are to be judged
        log.warning("%s can't be read; what it named last counts (%s).", schedule.id, type(error).__name__)
        return rules.promised_last(schedule, last_began=began, took=took, grace=grace)
