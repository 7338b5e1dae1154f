"""Made-up rows, in one go: organizations with integrations that nothing can be read from."""

from sqlalchemy import text

from orchestrator.drivers.bundle import Drivers

_FILL = """
TRUNCATE orchestrator.organizations, orchestrator.events, orchestrator.run_queue, orchestrator.run_totals,
    orchestrator.installation CASCADE;
INSERT INTO orchestrator.organizations (id, slug, name)
    SELECT gen_random_uuid(), 'bench-' || n, 'bench' FROM generate_series(1, :orgs) n;
INSERT INTO orchestrator.workspaces (org_id, id, slug, name)
    SELECT id, gen_random_uuid(), 'main', 'main' FROM orchestrator.organizations;
INSERT INTO orchestrator.destinations (org_id, id, type, variant, name)
    SELECT id, gen_random_uuid(), 'warehouse', 'postgres', 'warehouse' FROM orchestrator.organizations;
INSERT INTO orchestrator.integration_credentials (org_id, id, provider)
    SELECT id, gen_random_uuid(), 'salesforce' FROM orchestrator.organizations;
INSERT INTO orchestrator.integrations
    (org_id, id, workspace_id, type, variant, name, credential_id, destination_id, target_schema, in_warehouse)
    SELECT o.id, gen_random_uuid(), w.id, 'salesforce', 'orchestrator', 'i' || n, c.id, d.id, 's' || n, false
    FROM generate_series(1, :size) n
    JOIN (SELECT id, row_number() OVER () AS nth FROM orchestrator.organizations) o ON o.nth = n % :orgs + 1
    JOIN orchestrator.workspaces w ON w.org_id = o.id JOIN orchestrator.destinations d ON d.org_id = o.id
    JOIN orchestrator.integration_credentials c ON c.org_id = o.id
"""


def fill(drivers: Drivers, *, size: int, orgs: int, then: str = "") -> None:
    """Begin the control plane anew, with so many integrations, spread over so many organizations.

    Workers know it for another one, so none misses its runs of before.
    then:  more statements, each ended by a semicolon and a line break but the last
    """
    with drivers.db.connection() as connection:
        for statement in f"{_FILL};\n{then}".split(";\n"):
            if statement.strip():
                connection.execute(text(statement), {"size": size, "orgs": orgs})
