"""What a sync would do, told without starting one."""

from collections.abc import Sequence

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.oauth import service as credentials
from orchestrator.domains.runs import queries, rules
from orchestrator.domains.runs.types import Forecast
from orchestrator.drivers.bundle import Drivers

_RUNS = 30  # that are looked at


def forecast(
    drivers: Drivers, integration: Integration, *, streams: Sequence[str] | None = None, full_refresh: bool = False
) -> Forecast:
    """What a sync of these streams would do, going by what is configured and what earlier ones did.

    Nobody signs in and no plugin starts. Raises what `request` raises, but no RunInProgressError.
    """
    chosen = integrations.to_read(drivers, integration, only=streams)
    names = [stream.name for stream in chosen]
    with drivers.db.transaction(integration.org_id) as tx:
        bookmarks = {name: one.bookmark for name, one in queries.current_state(tx, integration.id).items()}
        samples = queries.samples(tx, integration.id, names, runs=_RUNS)
        credential = credentials.describe(tx, integration.org_id, integration.credential_id).credential
        under_way = queries.active_run(tx, integration.id)
    there = {name: bookmark for name, bookmark in bookmarks.items() if bookmark}
    return Forecast(
        streams=rules.forecast(chosen, there, samples, full_refresh=full_refresh),
        encoding=integrations.handover(drivers, integration),
        sign_in=credential.status.value,
        needed_scopes=integrations.needed_scopes(integration),
        sign_in_problem=credential.status_reason,
        granted_scopes=credential.granted_scopes,
        under_way=None if under_way is None else under_way.id,
    )
