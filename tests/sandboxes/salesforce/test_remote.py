"""The command, and driving it from another process. (modules: __main__, remote)"""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxes.salesforce import LocalOrg, OrgControl, RemoteOrg, SandboxError
from sandboxes.salesforce.__main__ import main

FEW = ["--count=Contact=30", "--count=Account=10", "--count=Lead=5", "--count=Opportunity=5", "--count=Invoice__c=5"]


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    ready = tmp_path_factory.mktemp("org") / "ready.json"
    options = [*FEW[1:], f"--ready-file={ready}", "--rotate-refresh-tokens", f"--connector-config={ready}.config"]
    with RemoteOrg(counts={"Contact": 30}, options=options) as org:
        org.ready = ready
        yield org


def test_it_prints_where_it_is_and_how_to_sign_in(remote):
    assert remote.url.startswith("http://127.0.0.1:")
    assert set(remote.app) == {
        "client_id", "client_secret", "refresh_token", "username", "password", "security_token",
    }  # fmt: skip
    assert json.loads(remote.ready.read_text()) == {"url": remote.url, **remote.app}
    assert remote.ready.stat().st_mode & 0o777 == 0o600


def test_it_writes_what_a_connector_asks_for(remote):
    config = Path(f"{remote.ready}.config")
    answers = json.loads(config.read_text())
    assert (answers["domain"], answers["auth"]["refresh_token"]) == (remote.url, remote.app["refresh_token"])
    assert config.stat().st_mode & 0o777 == 0o600


def test_it_is_driven_by_http(remote):
    before = remote.count("Contact")
    changed = remote.churn("Contact", update=2, delete=1, insert=1)
    assert {k: len(v) for k, v in changed.items()} == {"updated": 2, "deleted": 1, "inserted": 1}
    assert remote.count("Contact") == {"live": before["live"], "deleted": before["deleted"] + 1}
    new = remote.insert("Account", [{"Name": "x"}])
    assert remote.update("Account", new, {"Name": "y"}) == new
    assert remote.delete("Account", new) == remote.hard_delete("Account", new) == new
    remote.add_fault("status", path="/nothing")
    remote.settings(daily_limit=7)
    assert len(remote.stats()["faults"]) == 1
    remote.clear_faults()
    remote.reset()
    assert remote.stats()["faults"] == []


def test_its_refusals_arrive_as_sentences(remote):
    with pytest.raises(SandboxError, match="no object Kontact"):
        remote.churn("Kontact", update=1)


def test_an_org_that_is_not_there_is_said_so():
    with pytest.raises(SandboxError, match="No local org answers"):
        OrgControl("http://127.0.0.1:9").stats()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_cleanly(number):
    command = [sys.executable, "-m", "sandboxes.salesforce", "--port=0", *FEW]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root) as child:
        assert json.loads(child.stdout.readline())["url"]
        child.send_signal(number)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 0
    assert b"Traceback" not in said


def test_it_ends_with_the_process_that_started_it_and_leaves_nothing_for_long(tmp_path):
    root = Path(__file__).parents[3]
    program = (
        "import os, signal\n"
        "from sandboxes.salesforce import RemoteOrg\n"
        f"org = RemoteOrg(options={FEW}).start()\n"
        "print(org.url, org.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=env, capture_output=True, text=True, check=False
    )
    url, pid = done.stdout.split()
    try:
        handle = os.pidfd_open(int(pid))
        try:
            assert select.select([handle], [], [], 60)[0], "the org outlived its parent"
        finally:
            os.close(handle)
    except ProcessLookupError:
        pass  # it was faster
    with pytest.raises(SandboxError, match="No local org answers"):
        OrgControl(url).stats()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_org_left_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, living, other = (tmp_path / f"local-salesforce-{n}" for n in (f"{dead.pid}-a", f"{os.getpid()}-b", "x-c"))
    for directory in (left, living, other):
        directory.mkdir()
    with LocalOrg(counts={"Contact": 1}):
        assert not left.exists()
        assert living.exists()
        assert other.exists()


def test_options_that_make_no_sense_are_refused_in_a_sentence(capsys):
    assert main(["--host", "0.0.0.0"]) == 2
    assert "loopback only" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--count", "Contact"])
    with pytest.raises(SandboxError, match="did not start"):
        RemoteOrg(options=["--host=10.0.0.1"]).start()
