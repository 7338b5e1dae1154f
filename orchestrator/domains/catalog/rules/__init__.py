"""Pure decisions about connectors: reading their files, their forms, checking values, secrets, plugin settings."""

from orchestrator.domains.catalog.rules.addresses import audience, dialled, filled, host_allowed, host_and_port, sign_in
from orchestrator.domains.catalog.rules.binding import to_give_again
from orchestrator.domains.catalog.rules.checking import validate
from orchestrator.domains.catalog.rules.form import completed, fields
from orchestrator.domains.catalog.rules.masking import join, public, secret_names, split
from orchestrator.domains.catalog.rules.misfits import misfits
from orchestrator.domains.catalog.rules.pairing import (
    agreed_settings,
    claim_settings,
    continued_settings,
    deletion_settings,
    encoding,
)
from orchestrator.domains.catalog.rules.parsing import parse
from orchestrator.domains.catalog.rules.reading import connector
from orchestrator.domains.catalog.rules.settings import plugin_settings, variant_of

__all__ = [
    "agreed_settings",
    "audience",
    "claim_settings",
    "completed",
    "connector",
    "continued_settings",
    "deletion_settings",
    "dialled",
    "encoding",
    "fields",
    "filled",
    "host_allowed",
    "host_and_port",
    "join",
    "misfits",
    "parse",
    "plugin_settings",
    "public",
    "secret_names",
    "sign_in",
    "split",
    "to_give_again",
    "validate",
    "variant_of",
]
