"""What a hostile tap finds of the loader, of other runs and of the platform, by every way that a process can look."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.drivers.meltano import landlock, socket_server
from orchestrator.drivers.meltano.process import Isolation
from tests.drivers.meltano.conftest import described, program

MELTANO = """
import ctypes, json, os, subprocess, sys
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
run, launcher = sys.argv[1:]
os.environ.update(json.load(sys.stdin))
started = []
for side, name in (("loader", "target"), ("extractor", "tap")):
    with open(f"{run}/{name}.config.json", "w") as file:
        file.write(os.environ[f"{name}_config"])
    command = (sys.executable, "-I", "-S", launcher, side, "--config", f"{run}/{name}.config.json")
    started.append(subprocess.Popen(command, stdin=subprocess.PIPE))
code = started[1].wait()
started[0].stdin.close()
sys.exit(code or started[0].wait())
"""
TARGET = """
import json, sys
config = json.load(open(sys.argv[2]))
open(config["folder"] + "/there", "w").close()
sys.stdin.read()
"""
NOBODY = pytest.param(
    65534,
    id="nobody",
    marks=pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/bin/python3").exists(), reason="needs root"),
)
needs_landlock = pytest.mark.skipif(not landlock.version(), reason="needs Landlock")


def secret(path, name):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"CANARY-{name}")


@pytest.fixture
def spied(scripts):
    """Run a spy as the tap beside a loader, both started as Meltano starts them; what the spy reports."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def spy(*, user, isolation, scripts=scripts):
            python = "/usr/bin/python3" if user else sys.executable
            run, home, report = folder / "runs/run-1", folder / "home", folder / "exports/report"
            for own in ("extractor", "loader", "batches", "launch"):
                (run / own).mkdir(parents=True)
            report.parent.mkdir()
            (run / "lock").touch()
            secret(home / "master.key", "master-key")
            secret(home / "postgres/data/pg_authid", "database-files")
            secret(folder / "clone/.env", "settings-file")
            secret(folder / "runs/run-2/tap.config.json", "other-run")
            tap, target = program(folder, "spy", python), program(folder, "target", python)
            (target.parents[1] / "target_fixture.py").write_text(TARGET)
            for side, executable in (("extractor", tap), ("loader", target)):
                launch = {"executable": str(executable), "pass": "PATH", "limit": "CORE=0"}
                (run / f"launch/{side}").write_text(described(**launch, writable=["batches", str(report.parent)]))
            address = stack.enter_context(
                socket_server.serving(run / "state.sock", lambda _: {"state": "CANARY-state"}, limit=1024)
            )
            files = [
                home / "master.key",
                target,
                scripts / "launcher.py",
                run / "launch/loader",
                "/proc/sysrq-trigger",
            ]
            wanted = {"own": "CANARY-own", "report": str(report), "places": [str(home), str(folder / "clone")]}
            wanted["files"] = [str(file) for file in files]
            given = {
                "MELTANO_PROJECT_ROOT": str(run),
                "tap_config": json.dumps(wanted),
                "target_config": json.dumps({"password": "CANARY-loader", "folder": str(report.parent)}),
                "MELTANO_STATE_BACKEND_URI": f"CANARY-nonce-{address.partition('#')[2]}",
            }
            if user:
                shutil.chown(folder, user, user)
                for directory, inside, names in os.walk(folder):
                    for name in (*inside, *names):
                        os.chown(f"{directory}/{name}", user, user, follow_symlinks=False)
            platform = stack.enter_context(
                subprocess.Popen(("/bin/sleep", "60"), env={"KEY": "CANARY-platform"}, user=user)
            )
            stack.callback(platform.kill)
            lock = stack.enter_context((run / "lock").open())
            stdin = stack.enter_context(tempfile.TemporaryFile())
            stdin.write(json.dumps(given).encode())
            stdin.seek(0)
            fds = (lock.fileno(), stdin.fileno())
            command = (
                python, "-I", "-S", scripts / "supervise.py", run, *map(str, fds), isolation, "inf", str(2**40), "1000",
                python, "-I", "-S", "-c", MELTANO, run, scripts / "launcher.py",
            )  # fmt: skip
            with subprocess.Popen(
                command, pass_fds=fds, user=user, env={}, cwd=run, stdin=subprocess.PIPE, stderr=subprocess.PIPE
            ) as process:
                assert process.stderr.read() == b"my secret is CANARY-own\n"
                assert process.wait() == 0
            assert (report.parent / "there").exists(), "the loader had its config"
            return json.loads(report.read_text())

        yield spy


@needs_landlock
@pytest.mark.parametrize("user", [pytest.param(None, id="ourselves"), NOBODY])
@pytest.mark.parametrize("isolation", list(Isolation))
def test_a_hostile_tap_finds_no_secret_but_its_own_and_reaches_nobody(spied, user, isolation):
    report = spied(user=user, isolation=isolation)
    assert (report["found"], report["written"]) == ({}, [])
    assert not report["signalled"] or landlock.version() < 6, "signals stay inside since Linux 6.12"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("user", [pytest.param(None, id="ourselves"), NOBODY])
def test_the_same_tap_finds_everything_where_there_is_no_landlock(spied, user, scripts):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        there = Path(folder, "orchestrator/drivers/meltano")
        shutil.copytree(scripts, there)
        text = (there / "landlock.py").read_text()
        (there / "landlock.py").write_text(text + "\n\ndef version():\n    return 0\n")

        report = spied(user=user, isolation=Isolation.SUBREAPER, scripts=there)

    found = {"loader", "master-key", "database-files", "settings-file", "other-run"}
    found |= {"platform"} if user else set()  # root has more capabilities outside than a tap has
    assert {f"CANARY-{name}" for name in found} <= set(report["found"])
    assert "mem" in {place for places in report["found"].values() for place in places}
    assert report["signalled"]
    assert len(report["written"]) >= 3
