"""The road end to end: the installed command, real Meltano and plugins, a real Postgres, an org on loopback."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domains.integrations.types import Integration
from sandboxes.salesforce import LocalOrg
from tests.e2e.installation import Installation
from tests.e2e.rooms import own_room

ROWS = int(os.environ.get("E2E_ROWS", "20000"))
FILE_ROWS = 4_000  # of the large stream, so that it comes as several batches; less would go by REST, as records


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def rows() -> int:
    """How many records the large stream has: E2E_ROWS."""
    return ROWS


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh home."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def _runs() -> Iterator[Path]:
    """Where runs of this session live: in memory as usual, but nobody else's."""
    with own_room("e2e") as path:
        yield path


@pytest.fixture(scope="session")
def _installed(home: Path, _runs: Path, plugin_environments: Path) -> Iterator[Installation]:
    (home / "plugins").symlink_to(plugin_environments)
    made = Installation(home=home, runs=_runs)
    made.install()
    yield made
    made.close()
    with made.drivers() as drivers:
        drivers.postgres.stop_if_unused()


@pytest.fixture
def installation(_installed: Installation) -> Iterator[Installation]:
    """The session's installation; a test leaves no process of its runs behind."""
    yield _installed
    _installed.close()
    _installed.assert_nothing_left()


@pytest.fixture(scope="session")
def own_home(
    plugin_environments: Path, _runs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A second installation whose Postgres may be hurt; it shares the plugin environments."""
    other = tmp_path_factory.mktemp("other")
    (other / "plugins").symlink_to(plugin_environments)
    runs = _runs / "other"
    runs.mkdir(mode=0o700)
    made = Installation(home=other, runs=runs)
    made.install()
    yield made
    made.close()
    with made.drivers() as drivers:
        drivers.postgres.stop_if_unused()


@pytest.fixture(scope="session")
def org() -> Iterator[LocalOrg]:
    """An org with one large object and two small ones."""
    counts = {"Account": 400, "Contact": ROWS, "Lead": 3_000, "Opportunity": 50, "User": 5}
    with LocalOrg(counts=counts) as made:
        yield made


@pytest.fixture(autouse=True)
def _calm(request: pytest.FixtureRequest) -> Iterator[None]:
    """An org without throttle and faults before and after each test."""
    yield
    if "org" in request.fixturenames:
        made: LocalOrg = request.getfixturevalue("org")
        made.faults.clear()
        made.rows_per_second = 0.0


@pytest.fixture
def calm_for_long(org: LocalOrg) -> None:
    """What earlier tests changed lies behind every look-back."""
    org.clock.advance(1200)


def values_of(org: LocalOrg, **more: Any) -> dict[str, Any]:
    """What a person fills in for this org, who wants small files and steps."""
    app = org.app.credentials()
    auth = {name: app[name] for name in ("client_id", "client_secret", "refresh_token")}
    steps = {"bulk_page_rows": FILE_ROWS, "window_rows": FILE_ROWS}
    there = {"domain": org.url, "start_date": "2000-01-01"}
    return {"auth": {"auth_type": "oauth_refresh", **auth}, **there, **steps, **more}


@pytest.fixture(scope="session")
def like(_installed: Installation, org: LocalOrg) -> Integration:
    """Discovered once; what discovery finds is the same for every integration of the org."""
    return _installed.add("discovered", values_of(org), ["Account"])


@pytest.fixture
def salesforce(
    installation: Installation, org: LocalOrg, like: Integration, request: pytest.FixtureRequest
) -> Integration:
    """An integration of the org for this test alone; by itself it reads the large object."""
    name = f"{request.node.name[:40]} {secrets.token_hex(3)}"
    return installation.add(name, values_of(org), ["Contact"], like=like)


@pytest.fixture
def file_by_file(
    installation: Installation, org: LocalOrg, like: Integration, request: pytest.FixtureRequest
) -> Integration:
    """The same, but it asks for one file after the other, so that the org can stop it in the middle."""
    name = f"{request.node.name[:40]} {secrets.token_hex(3)}"
    return installation.add(name, values_of(org, max_workers=1), ["Contact"], like=like)
