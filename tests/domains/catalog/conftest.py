import json
import shutil
from pathlib import Path

import pytest

from orchestrator.domains.catalog import service
from orchestrator.kernel.environment import project_root

SCHEMAS = project_root() / "schemas"


@pytest.fixture(scope="session")
def catalog():
    return service.load(SCHEMAS / "connectors")


@pytest.fixture
def salesforce(catalog):
    return catalog.get("salesforce")


@pytest.fixture
def warehouse(catalog):
    return catalog.get("warehouse")


@pytest.fixture
def schemas(tmp_path) -> Path:
    """A copy of schemas/ that a test may spoil."""
    return Path(shutil.copytree(SCHEMAS, tmp_path / "schemas"))


@pytest.fixture
def edited(schemas):
    """Change a connector file of the copy: edited("github", lambda document: …) gives the catalog then loaded."""

    def edit(name, change):
        path = schemas / "connectors" / f"{name}.json"
        document = json.loads(path.read_text("utf-8"))
        change(document)
        path.write_text(json.dumps(document), "utf-8")
        return service.load(schemas / "connectors")

    return edit


@pytest.fixture
def sign_in_by_key():
    """Answers that fit the Salesforce form."""
    return {
        "auth": {
            "auth_type": "client_credentials",
            "client_id": "3MVG9",
            "client_secret": "s3cret-of-the-app",
        },
        "domain": "acme.my.salesforce.com",
        "start_date": "2024-01-01",
    }
