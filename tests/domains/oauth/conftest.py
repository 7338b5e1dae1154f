"""Master keys, and a local Salesforce org whose refresh tokens work once."""

from pathlib import Path

import pytest

from orchestrator.drivers import keys as key_files
from orchestrator.drivers.http import Http
from orchestrator.drivers.keys import KeyRing
from sandboxes.salesforce import LocalOrg


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    key_files.create_key_file(tmp_path / "master.key")
    return KeyRing.load(None, tmp_path / "master.key")


@pytest.fixture
def http() -> Http:
    return Http(allow_private=True)


@pytest.fixture
def org():
    with LocalOrg(
        counts=dict.fromkeys(("Account", "Contact", "Lead", "Opportunity", "User"), 1), rotate_refresh_tokens=True
    ) as org:
        yield org
