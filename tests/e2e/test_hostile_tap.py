"""A tap that floods, eats memory, hangs and leaves daemons behind; its worker goes on with the next run."""

import base64
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs.types import RunStatus
from sandboxes.salesforce import LocalOrg
from tests.e2e.installation import Installation
from tests.e2e.test_worker import drained, ended

HOSTILE = Path(__file__).parents[1] / "fixtures" / "plugins" / "hostile_fixture.py"
FLOODS = 2.0  # seconds
Misbehave = Callable[..., None]


@pytest.fixture
def misbehave(installation: Installation) -> Iterator[Misbehave]:
    """Have this home's tap behave as told; without a word, as it should."""
    plugins, hostile = installation.home / "plugins", installation.home / "hostile"
    good = plugins.resolve()
    hostile.mkdir()
    for place in good.iterdir():
        (hostile / place.name).symlink_to(place)
    [tap] = (place for place in hostile.glob("tap-salesforce--orchestrator-*") if place.is_dir())
    tap.unlink()
    program = tap / "bin" / "tap-salesforce"
    program.parent.mkdir(parents=True)
    (tap / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    shutil.copy(HOSTILE, tap)
    program.write_text(f'#!/bin/sh\nexec "{tap}/bin/python" -I -S "{tap / HOSTILE.name}" "$@"\n')
    program.chmod(0o755)

    def become(how: str | None = None, **more: Any) -> None:
        (tap / "behaviour.json").write_text(json.dumps({"how": how, **more}))
        plugins.unlink()
        plugins.symlink_to(good if how is None else hostile)

    yield become
    become()


def test_whatever_a_tap_does_its_run_ends_with_a_reason_and_the_next_one_succeeds(
    installation: Installation, salesforce: Integration, org: LocalOrg, misbehave: Misbehave
) -> None:
    once = {"ORCHESTRATOR_RUNS__MEMORY": "500MiB", "ORCHESTRATOR_QUEUE__ATTEMPTS": "1"}
    worker = installation.start("worker", environment=once)

    def run(*options: str) -> str:
        done = installation.run("sync", salesforce.id, "--detach", "--json", *options)
        assert done.code == 0, done.err
        return str(done.json["id"])

    def end_of(run_id: str) -> tuple[RunStatus, dict[str, Any]]:
        status = ended(installation, salesforce.org_id, run_id).status
        installation.assert_nothing_left()
        return status, installation.run("runs", "explain", run_id, "--json").json

    misbehave("flood", megabytes=100, seconds=FLOODS)
    flooded = run()
    status, why = end_of(flooded)
    assert (status, why["said"]) == (RunStatus.FAILED, "ERROR the source has an opinion: 4711")
    lines = [json.loads(line) for line in installation.run("runs", "logs", flooded, "--json").out.splitlines()]
    said = "\n".join(line["message"] for line in lines)
    assert 10_000 < len(lines) < 12_000
    assert "left out: more than a log can take" in said
    assert "characters cut]" in said
    assert "and then 99999\n" in said, "its last words"
    assert len(said) < 10_000_000
    assert said.count("signing in with") == 10
    for token in org.signin._sessions:
        data = token.encode()
        forms = (token, data.hex(), base64.b64encode(b"user:" + data).decode(), base64.b32encode(data).decode())
        spelt = ("".join(f"%{byte:02x}" for byte in data), "".join(f"\\u{byte:04x}" for byte in data))
        assert not [form for form in (*forms, *spelt) if form in said]

    misbehave("memory")
    status, why = end_of(run())
    assert status is RunStatus.FAILED
    assert why["said"] == "The run took more memory than the 0.5 GiB that it may."
    assert "ORCHESTRATOR_RUNS__MEMORY" in why["what_to_do"]

    misbehave("hang")
    status, why = end_of(run("--timeout", "6s"))
    assert status is RunStatus.TIMED_OUT

    misbehave()
    status, _ = end_of(run())
    assert status is RunStatus.SUCCEEDED
    drained(worker)
