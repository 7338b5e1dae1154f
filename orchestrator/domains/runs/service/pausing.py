"""Whether the database still is the one that was worked in.

One that was restored or copied is worked on by nobody until a person says so: runs would go on from an older state,
with access that was renewed since, or beside another installation that works with the same. It can be read, and a
person may change what is in it.
"""

from orchestrator.domains.runs import queries
from orchestrator.domains.runs.errors import UnconfirmedDatabaseError
from orchestrator.domains.runs.types import Attempt
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.last_claim import Claim
from orchestrator.kernel.db import Role

COPIED = "the control-plane database was copied or restored into another Postgres or database"
LOST = "the control-plane database no longer knows of run {run_id}, or not that it was begun: it was set back"


def look_back(drivers: Drivers) -> str | None:
    """Compare the database with what is known of it, and pause all work where it isn't as it was.

    Answers why workers are paused; None where they are not. It can't be told where no run was begun from this home
    since the backup and the server is the same: then nothing this machine knows of is missing.
    """
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        home = queries.home(tx)
        known = queries.installation(tx)
        if known is None:
            queries.settle_in(tx, home)
            return None
        if known.paused is not None:
            return known.paused
        if known.home != home:
            queries.pause(tx, COPIED)
            return queries.paused(tx)
    last = drivers.last_claim.recall(known.id)
    if last is None:
        return None
    with drivers.db.transaction(last.org_id) as tx:
        run = queries.run(tx, last.run_id)
    if run is not None and run.epoch >= last.epoch:
        return None
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        queries.pause(tx, LOST.format(run_id=last.run_id))
        return queries.paused(tx)


def refuse_unconfirmed(drivers: Drivers) -> None:
    """Raise UnconfirmedDatabaseError where nothing may be done in this database yet."""
    because = look_back(drivers)
    if because is not None:
        raise UnconfirmedDatabaseError(because)


def paused(drivers: Drivers) -> str | None:
    """Why workers begin nothing; None where they do."""
    with drivers.db.anonymous() as tx:
        return queries.paused(tx)


def resume(drivers: Drivers) -> str | None:
    """Take the database as it is; workers go on within seconds. Answers why they were paused; None if they weren't.

    Whoever restored it may call this before anybody has looked.
    """
    because = look_back(drivers)
    if because is not None:
        with drivers.db.anonymous(role=Role.WORKER) as tx:
            queries.resume(tx, queries.home(tx))
    return because


def remember(drivers: Drivers, installation: str | None, attempt: Attempt) -> None:
    """Keep outside of the database that a run was begun here."""
    if installation is not None:
        claim = Claim(org_id=attempt.org_id, run_id=attempt.run_id, epoch=attempt.epoch)
        drivers.last_claim.remember(installation, claim)
