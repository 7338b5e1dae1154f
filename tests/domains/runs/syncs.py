"""Syncs that go as they should, and what is left of them."""

from sqlalchemy import text

from orchestrator.domains.runs import service

MARCH = {"replication_key": "at", "replication_key_value": "2024-03-01"}


def synced(drivers, integration, **options):
    return service.execute(drivers, integration, service.request(drivers, integration, **options))


def events(drivers, org_id):
    with drivers.db.transaction(org_id) as tx:
        return tx.scalars(text("SELECT name FROM orchestrator.events WHERE name LIKE 'run.%' ORDER BY id")).all()


def positions(drivers, integration):
    return {entry.stream: entry.bookmark for entry in service.show(drivers, integration)}
