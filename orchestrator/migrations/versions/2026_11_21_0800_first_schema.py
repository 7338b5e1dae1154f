"""The first schema: organizations, vault, catalog, credentials, integrations, runs, state and events."""

from alembic import op

revision = "2026_11_21_0800"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE orchestrator.events (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT NOT NULL,
    payload JSONB NOT NULL,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE TABLE orchestrator.integration_providers (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    publisher TEXT NOT NULL,
    category TEXT NOT NULL,
    description TEXT NOT NULL,
    status TEXT NOT NULL,
    plan TEXT DEFAULT 'free' NOT NULL,
    available BOOLEAN DEFAULT 'true' NOT NULL,
    file_sha256 TEXT NOT NULL,
    synced_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (name),
    CONSTRAINT integration_providers_status_check CHECK (status IN ('available', 'beta', 'coming_soon', 'deprecated')),
    CONSTRAINT integration_providers_kind_check CHECK (kind IN ('source', 'destination'))
);

CREATE TABLE orchestrator.organizations (
    id UUID NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT organizations_slug_key UNIQUE (slug)
);

CREATE TABLE orchestrator.destinations (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    config JSONB DEFAULT '{}' NOT NULL,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, id),
    CONSTRAINT destinations_org_id_fkey FOREIGN KEY(org_id) REFERENCES orchestrator.organizations (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX destinations_name ON orchestrator.destinations (org_id, name) WHERE deleted_at IS NULL;

CREATE TABLE orchestrator.integration_credentials (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    provider TEXT NOT NULL,
    auth_type TEXT,
    status TEXT DEFAULT 'active' NOT NULL,
    granted_scopes TEXT[],
    instance_url TEXT,
    access_expires_at timestamptz,
    token_version INTEGER DEFAULT '0' NOT NULL,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT integration_credentials_status_check CHECK (status IN ('active', 'needs_reauth', 'revoked')),
    CONSTRAINT integration_credentials_org_id_fkey FOREIGN KEY(org_id) REFERENCES orchestrator.organizations (id) ON DELETE CASCADE
);

CREATE TABLE orchestrator.vault_data_keys (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    version INTEGER NOT NULL,
    master_key_id TEXT NOT NULL,
    wrapped BYTEA NOT NULL,
    state TEXT DEFAULT 'active' NOT NULL,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT vault_data_keys_state_check CHECK (state IN ('active', 'retired')),
    CONSTRAINT vault_data_keys_org_id_version_key UNIQUE (org_id, version),
    CONSTRAINT vault_data_keys_org_id_fkey FOREIGN KEY(org_id) REFERENCES orchestrator.organizations (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX vault_data_keys_one_active ON orchestrator.vault_data_keys (org_id) WHERE state = 'active';

CREATE TABLE orchestrator.workspaces (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT workspaces_org_id_slug_key UNIQUE (org_id, slug),
    CONSTRAINT workspaces_org_id_fkey FOREIGN KEY(org_id) REFERENCES orchestrator.organizations (id) ON DELETE CASCADE
);

CREATE TABLE orchestrator.integrations (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    type TEXT NOT NULL,
    variant TEXT NOT NULL,
    name TEXT NOT NULL,
    config JSONB DEFAULT '{}' NOT NULL,
    credential_id UUID NOT NULL,
    destination_id UUID NOT NULL,
    target_schema TEXT NOT NULL,
    setup_state TEXT DEFAULT 'draft' NOT NULL,
    enabled BOOLEAN DEFAULT 'true' NOT NULL,
    health TEXT DEFAULT 'unknown' NOT NULL,
    tested_at timestamptz,
    discovered_at timestamptz,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, id),
    CONSTRAINT integrations_org_id_workspace_id_fkey FOREIGN KEY(org_id, workspace_id) REFERENCES orchestrator.workspaces (org_id, id),
    CONSTRAINT integrations_org_id_credential_id_fkey FOREIGN KEY(org_id, credential_id) REFERENCES orchestrator.integration_credentials (org_id, id),
    CONSTRAINT integrations_org_id_destination_id_fkey FOREIGN KEY(org_id, destination_id) REFERENCES orchestrator.destinations (org_id, id),
    CONSTRAINT integrations_setup_state_check CHECK (setup_state IN ('draft', 'pending_auth', 'connected', 'needs_reauth', 'disconnected', 'revoked')),
    CONSTRAINT integrations_health_check CHECK (health IN ('unknown', 'healthy', 'degraded', 'failing')),
    CONSTRAINT integrations_org_id_fkey FOREIGN KEY(org_id) REFERENCES orchestrator.organizations (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX integrations_name ON orchestrator.integrations (org_id, workspace_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX integrations_schema ON orchestrator.integrations (org_id, destination_id, target_schema);

CREATE TABLE orchestrator.vault_secrets (
    org_id UUID NOT NULL,
    owner_table TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    field TEXT NOT NULL,
    version INTEGER NOT NULL,
    data_key_id UUID NOT NULL,
    blob BYTEA NOT NULL,
    updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (org_id, owner_table, owner_id, field),
    CONSTRAINT vault_secrets_org_id_data_key_id_fkey FOREIGN KEY(org_id, data_key_id) REFERENCES orchestrator.vault_data_keys (org_id, id),
    CONSTRAINT vault_secrets_org_id_fkey FOREIGN KEY(org_id) REFERENCES orchestrator.organizations (id) ON DELETE CASCADE
);

CREATE TABLE orchestrator.integration_streams (
    org_id UUID NOT NULL,
    integration_id UUID NOT NULL,
    name TEXT NOT NULL,
    selected BOOLEAN DEFAULT 'false' NOT NULL,
    mode TEXT NOT NULL,
    deselected_fields TEXT[] DEFAULT '{}' NOT NULL,
    entry JSONB NOT NULL,
    discovered_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    gone_at timestamptz,
    PRIMARY KEY (org_id, integration_id, name),
    CONSTRAINT integration_streams_org_id_integration_id_fkey FOREIGN KEY(org_id, integration_id) REFERENCES orchestrator.integrations (org_id, id) ON DELETE CASCADE,
    CONSTRAINT integration_streams_mode_check CHECK (mode IN ('incremental', 'full_table', 'log_based'))
);

CREATE TABLE orchestrator.runs (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    integration_id UUID NOT NULL,
    kind TEXT DEFAULT 'sync' NOT NULL,
    status TEXT DEFAULT 'queued' NOT NULL,
    trigger TEXT NOT NULL,
    streams TEXT[],
    full_refresh BOOLEAN DEFAULT 'false' NOT NULL,
    timeout INTERVAL NOT NULL,
    epoch INTEGER DEFAULT '0' NOT NULL,
    failure JSONB,
    retry_of UUID,
    requested_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (org_id, id),
    CONSTRAINT runs_org_id_integration_id_fkey FOREIGN KEY(org_id, integration_id) REFERENCES orchestrator.integrations (org_id, id) ON DELETE CASCADE,
    CONSTRAINT runs_org_id_retry_of_fkey FOREIGN KEY(org_id, retry_of) REFERENCES orchestrator.runs (org_id, id),
    CONSTRAINT runs_kind_check CHECK (kind IN ('sync', 'test', 'discover')),
    CONSTRAINT runs_status_check CHECK (status IN ('queued', 'running', 'retrying', 'cancelling', 'succeeded', 'partial', 'failed', 'cancelled', 'timed_out'))
);
CREATE INDEX runs_active ON orchestrator.runs (org_id, id) WHERE status IN ('queued', 'running', 'retrying', 'cancelling');
CREATE INDEX runs_by_integration ON orchestrator.runs (org_id, integration_id, id);
CREATE UNIQUE INDEX runs_one_active ON orchestrator.runs (org_id, integration_id) WHERE kind = 'sync' AND status IN ('queued', 'running', 'retrying', 'cancelling');

CREATE TABLE orchestrator.stream_states (
    org_id UUID NOT NULL,
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    integration_id UUID NOT NULL,
    stream TEXT NOT NULL,
    bookmark JSONB,
    reason TEXT NOT NULL,
    run_id UUID,
    epoch INTEGER,
    at timestamptz DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT stream_states_org_id_integration_id_fkey FOREIGN KEY(org_id, integration_id) REFERENCES orchestrator.integrations (org_id, id) ON DELETE CASCADE,
    CONSTRAINT stream_states_reason_check CHECK (reason IN ('run', 'rollback', 'reset'))
);
CREATE INDEX stream_states_of_integration ON orchestrator.stream_states (org_id, integration_id, stream, id);

CREATE TABLE orchestrator.integration_sync_logs (
    org_id UUID NOT NULL,
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    run_id UUID NOT NULL,
    at timestamptz NOT NULL,
    level TEXT NOT NULL,
    source TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT integration_sync_logs_org_id_run_id_fkey FOREIGN KEY(org_id, run_id) REFERENCES orchestrator.runs (org_id, id) ON DELETE CASCADE
);
CREATE INDEX integration_sync_logs_of_run ON orchestrator.integration_sync_logs (org_id, run_id, id);

CREATE TABLE orchestrator.run_attempts (
    org_id UUID NOT NULL,
    run_id UUID NOT NULL,
    epoch INTEGER NOT NULL,
    worker TEXT NOT NULL,
    lease_until timestamptz NOT NULL,
    started_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamptz,
    exit_code INTEGER,
    PRIMARY KEY (org_id, run_id, epoch),
    CONSTRAINT run_attempts_org_id_run_id_fkey FOREIGN KEY(org_id, run_id) REFERENCES orchestrator.runs (org_id, id) ON DELETE CASCADE
);
CREATE INDEX run_attempts_leases ON orchestrator.run_attempts (lease_until) WHERE finished_at IS NULL;

CREATE TABLE orchestrator.run_streams (
    org_id UUID NOT NULL,
    run_id UUID NOT NULL,
    stream TEXT NOT NULL,
    records_read BIGINT DEFAULT '0' NOT NULL,
    records_written BIGINT DEFAULT '0' NOT NULL,
    records_deleted BIGINT DEFAULT '0' NOT NULL,
    seconds FLOAT DEFAULT '0' NOT NULL,
    PRIMARY KEY (org_id, run_id, stream),
    CONSTRAINT run_streams_org_id_run_id_fkey FOREIGN KEY(org_id, run_id) REFERENCES orchestrator.runs (org_id, id) ON DELETE CASCADE
);
"""

_TENANT_TABLES = (
    "events",
    "destinations",
    "integration_credentials",
    "vault_data_keys",
    "workspaces",
    "integrations",
    "vault_secrets",
    "integration_streams",
    "runs",
    "stream_states",
    "integration_sync_logs",
    "run_attempts",
    "run_streams",
)

_SECURITY = """
ALTER TABLE orchestrator.{table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE orchestrator.{table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orchestrator.{table}
    USING ({column} = NULLIF(current_setting('app.org_id', true), '')::uuid)
    WITH CHECK ({column} = NULLIF(current_setting('app.org_id', true), '')::uuid);
"""

# What people do through the doors, and what a worker does while it executes; logs, state and events only ever grow.
_GRANTS = """
GRANT USAGE ON SCHEMA orchestrator TO orchestrator_app, orchestrator_worker;
GRANT SELECT ON orchestrator.alembic_version TO orchestrator_app, orchestrator_worker;
GRANT SELECT, INSERT, UPDATE ON orchestrator.integration_providers TO orchestrator_app;
GRANT SELECT ON orchestrator.integration_providers TO orchestrator_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    orchestrator.organizations, orchestrator.workspaces, orchestrator.destinations,
    orchestrator.integration_credentials, orchestrator.vault_data_keys, orchestrator.vault_secrets,
    orchestrator.integrations, orchestrator.integration_streams, orchestrator.runs
    TO orchestrator_app;
GRANT SELECT, INSERT ON orchestrator.stream_states, orchestrator.events TO orchestrator_app;
GRANT SELECT ON orchestrator.run_attempts, orchestrator.run_streams, orchestrator.integration_sync_logs
    TO orchestrator_app;
GRANT SELECT ON
    orchestrator.organizations, orchestrator.workspaces, orchestrator.destinations,
    orchestrator.vault_data_keys TO orchestrator_worker;
GRANT SELECT, UPDATE ON orchestrator.integrations, orchestrator.integration_streams, orchestrator.runs,
    orchestrator.integration_credentials TO orchestrator_worker;
GRANT SELECT, INSERT, UPDATE ON orchestrator.vault_secrets, orchestrator.run_attempts, orchestrator.run_streams
    TO orchestrator_worker;
GRANT SELECT, INSERT ON orchestrator.stream_states, orchestrator.events, orchestrator.integration_sync_logs
    TO orchestrator_worker;
"""

# The only ways across organizations. Each answers ids and nothing else; the caller then works as that organization.
# Row-level security is forced on the owner too, so these tables let exactly the owner look.
_ACROSS = """
CREATE POLICY across ON orchestrator.organizations FOR SELECT TO orchestrator_owner USING (true);
CREATE POLICY across ON orchestrator.run_attempts FOR SELECT TO orchestrator_owner USING (true);

CREATE FUNCTION orchestrator.organization_named(wanted text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT id FROM orchestrator.organizations WHERE slug = wanted $$;

CREATE FUNCTION orchestrator.organization_ids() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT id FROM orchestrator.organizations ORDER BY id $$;

CREATE FUNCTION orchestrator.open_attempts()
    RETURNS TABLE (org_id uuid, run_id uuid, epoch integer, worker text, lapsed boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT org_id, run_id, epoch, worker, lease_until < clock_timestamp() FROM orchestrator.run_attempts
          WHERE finished_at IS NULL $$;

REVOKE ALL ON FUNCTION orchestrator.organization_named(text), orchestrator.organization_ids(),
    orchestrator.open_attempts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orchestrator.organization_named(text) TO orchestrator_app, orchestrator_worker;
GRANT EXECUTE ON FUNCTION orchestrator.organization_ids() TO orchestrator_app, orchestrator_worker;
GRANT EXECUTE ON FUNCTION orchestrator.open_attempts() TO orchestrator_app, orchestrator_worker;
"""


def upgrade() -> None:
    """Create everything, then lock it down."""
    op.execute(_TABLES)
    op.execute(_SECURITY.format(table="organizations", column="id"))
    for table in _TENANT_TABLES:
        op.execute(_SECURITY.format(table=table, column="org_id"))
    op.execute(_GRANTS)
    op.execute(_ACROSS)
