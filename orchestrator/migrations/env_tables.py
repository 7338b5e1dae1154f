"""Importing this module puts every table into the metadata."""
# ruff: noqa: F401 - importing is all it is for

import orchestrator.domains.catalog.tables
import orchestrator.domains.identity.tables
import orchestrator.domains.integrations.tables
import orchestrator.domains.oauth.tables
import orchestrator.domains.runs.tables
import orchestrator.domains.schedules.tables
import orchestrator.domains.vault.tables
import orchestrator.kernel.events
