"""A local org, a configuration for it, and a run of the tap whose messages can be looked at."""

import json
import logging
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for batchpages: tests are no package

from sandboxes.salesforce import LocalOrg
from tap_salesforce import bulk
from tap_salesforce.backoff import Backoff
from tap_salesforce.tap import TapSalesforce

COUNTS = {
    "Contact": 900,
    "Account": 60,
    "Lead": 40,
    "Opportunity": 40,
    "Invoice__c": 50,
    "User": 5,
    "AccountHistory": 9,
}


@dataclass
class Output:
    """The messages of one run, in order."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [m["record"] for m in self.messages if m["type"] == "RECORD" and m["stream"] == stream]

    def ids(self, stream: str) -> Counter[str]:
        return Counter(record["Id"] for record in self.records(stream))

    def states(self) -> list[dict[str, Any]]:
        return [m["value"] for m in self.messages if m["type"] == "STATE"]

    def schema(self, stream: str) -> dict[str, Any]:
        return next(m["schema"] for m in self.messages if m["type"] == "SCHEMA" and m["stream"] == stream)

    def bookmark(self, stream: str) -> dict[str, str]:
        return self.states()[-1]["bookmarks"][stream]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """No waiting between tries; the Retry-After headers seen."""
    asked: list[str | None] = []
    monkeypatch.setattr(bulk, "FIRST_POLL", 0.005)
    monkeypatch.setattr(bulk, "SOONEST_POLL", 0.005)
    monkeypatch.setattr(Backoff, "wait", lambda _self, _number, retry_after: asked.append(retry_after) or 0.001)
    return asked


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """The SDK installs signal handlers in every tap, and its command line more than that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hook, handlers = sys.excepthook, list(logging.getLogger().handlers)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.excepthook = hook
    logging.captureWarnings(capture=False)
    for handler in set(logging.getLogger().handlers) - set(handlers):
        logging.getLogger().removeHandler(handler)


@pytest.fixture(scope="session")
def shared_org() -> Iterator[LocalOrg]:
    """An org for tests that change nothing in it."""
    with LocalOrg(counts=COUNTS) as org:
        yield org


@pytest.fixture
def org(shared_org: LocalOrg) -> Iterator[LocalOrg]:
    """The shared org, without faults and statistics."""
    shared_org.reset()
    shared_org.bulk._jobs.clear()
    yield shared_org
    shared_org.reset()


@pytest.fixture
def own_org() -> Iterator[LocalOrg]:
    """An org of one's own, to change."""
    with LocalOrg(counts=COUNTS) as org:
        yield org


Configure = Callable[..., dict[str, Any]]


@pytest.fixture
def configure() -> Configure:
    """A configuration for an org, changed by keywords."""

    def made(org: LocalOrg, **changes: Any) -> dict[str, Any]:
        base = {
            "auth": {
                "auth_type": "session",
                "access_token": org.access_token(),
                "instance_url": org.url,
            },
            "domain": org.url,
            "allow_private": True,
            "start_date": "2019-01-01",
            "streams": ["Contact"],
            "rest_below_rows": 0,  # what is tested with few rows is Bulk, unless a test says REST
        }
        return {name: value for name, value in {**base, **changes}.items() if value is not None}

    return made


@pytest.fixture
def batches(configure, tmp_path):
    """A configuration that asks for result pages as files."""

    def made(org, *, compression="gzip", **changes):
        encoding = {"format": "csv", "compression": compression}
        storage = {"root": (tmp_path / "batches").as_uri(), "prefix": "b-"}
        wish = {"batch_config": {"encoding": encoding, "storage": storage}, "rest_below_rows": 0, "window_rows": 100}
        return configure(org, **{**wish, "bulk_page_rows": 100, **changes})

    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Output]:
    """Sync in this process; the messages written. `run.partial` holds them even if the run fails."""

    def sync(config: dict[str, Any], **tap: Any) -> Output:
        capsys.readouterr()
        try:
            TapSalesforce(config=config, **tap).sync_all()
        finally:
            sync.partial = Output(_messages(capsys.readouterr().out))
        return sync.partial

    return sync


def _messages(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line]
