"""What happens when the orchestrator itself is killed: nothing may go on, and nothing may stay on disk."""

import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.drivers.meltano import directory
from orchestrator.drivers.meltano.process import Isolation, possible_isolation
from orchestrator.drivers.meltano.removal import remove
from tests.drivers.meltano.conftest import program

ORCHESTRATOR = """
import sys, time
from pathlib import Path
from orchestrator.drivers.meltano import ahead, directory
from orchestrator.drivers.meltano.process import Isolation
from orchestrator.drivers.meltano.runner import Meltano
from orchestrator.drivers.meltano.values import Plugin, Project, Side

folder, isolation = Path(sys.argv[1]), Isolation(sys.argv[2])
if "ahead" in sys.argv:
    ahead.begin()
tap = Plugin(
    side=Side.EXTRACTOR, name="tap-fixture", executable=folder / "tap-environment/bin/tap", writable=(folder,),
    config={"streams": {"users": 1}, "hang": True, "deaf": True, "daemon": str(folder / "held")},
)
target = Plugin(
    side=Side.LOADER, name="target-fixture", executable=folder / "target-environment/bin/target", writable=(folder,),
    config={"folder": str(folder)},
)

class Lease:
    # It begins to run out when the tap waits, however long that took, and says so once the supervisor was told.
    ends, looks, seconds = float("inf"), None, float(sys.argv[3])

    def begin(self, output):
        if getattr(output, "message", "") == "waiting":
            self.ends, self.looks = time.monotonic() + self.seconds, 0

    @property
    def until(self):
        if self.looks is not None:
            self.looks += 1
            if self.looks == 3:  # the first two belong to the look at the clock that tells it
                print("waiting", flush=True)
        return self.ends

lease = Lease()

Meltano(home=folder / "home", runs=folder / "runs", isolation=isolation).run(
    Project(extractor=tap, loader=target),
    on_output=lease.begin,
    load_state=lambda _: None,
    save_state=lambda *_: None,
    lease=lease,
)
"""


@pytest.fixture
def running(tmp_path, request):
    """An orchestrator in a process of its own, at the moment its tap waits for ever."""
    program(tmp_path, "tap")
    program(tmp_path, "target")
    command = (sys.executable, "-c", ORCHESTRATOR, str(tmp_path), *map(str, request.param))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert any(line == "waiting\n" for line in process.stdout)
        yield process
        process.kill()


def wait_for_lock(path: Path) -> None:
    """Returns when nobody holds it any more; the run's own directory may be gone with it."""
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


ORDINARY = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/usr/bin/python3").exists(), reason="needs root and a Python"
)
FOR_EVER = float("inf")
PATIENT = [
    *(pytest.param((isolation, FOR_EVER), id=isolation) for isolation in Isolation),
    pytest.param((Isolation.NAMESPACE, FOR_EVER, "ahead"), id="ahead"),
]


@pytest.mark.parametrize("running", PATIENT, indirect=True)
def test_kill_9_of_the_orchestrator_leaves_no_process_and_no_file(running, tmp_path):
    [run] = (tmp_path / "runs").iterdir()
    with (run / "lock").open() as lock:
        running.kill()
        running.wait()
        fcntl.flock(lock, fcntl.LOCK_EX)  # the supervisor holds it until all is done

    wait_for_lock(tmp_path / "held")
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("running", PATIENT[:1], indirect=True)
def test_kill_9_of_the_supervisor_ends_its_run(running, tmp_path):
    [supervisor] = children(running.pid)

    os.kill(supervisor, signal.SIGKILL)

    wait_for_lock(tmp_path / "held")
    running.wait()
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.fixture
def stopped(running):
    """An orchestrator that is stopped, as by a debugger, a frozen container or a machine that swaps."""
    running.send_signal(signal.SIGSTOP)
    yield running
    running.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("running", [(isolation, 4.0) for isolation in Isolation], indirect=True, ids=str)
def test_a_stopped_orchestrator_leaves_no_process_and_no_file_past_its_lease(stopped, tmp_path):
    wait_for_lock(tmp_path / "held")
    until = time.monotonic() + 60
    while list((tmp_path / "runs").iterdir()) and time.monotonic() < until:
        time.sleep(0.02)
    assert list((tmp_path / "runs").iterdir()) == []
    assert stopped.poll() is None


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def run_directory():
    """A run's directory that any user may enter, in a folder for these alone."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    folder.chmod(0o755)
    path = folder / "runs" / "run-1"
    path.mkdir(parents=True)
    yield path
    remove(str(folder))


@pytest.fixture
def supervised(tmp_path, scripts, run_directory):
    """Run a command under a supervisor of its own; what it said and how it ended."""

    def run(*command, given=b"", isolation="namespace", python=sys.executable, memory=2**40, processes=2**20, before=(),
            **more):  # fmt: skip
        with (tmp_path / "lock").open("w") as lock, tempfile.TemporaryFile() as stdin:
            stdin.write(given)
            stdin.seek(0)
            passed = (lock.fileno(), stdin.fileno())
            bounds = ("inf", str(memory), str(processes))
            line = (
                *before,
                python,
                "-I",
                "-S",
                scripts / "supervise.py",
                run_directory,
                *map(str, passed),
                isolation,
                *bounds,
                *command,
            )
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            with subprocess.Popen(line, pass_fds=passed, text=True, **pipes, **more) as process:
                said = process.stdout.read(), process.stderr.read()
                return SimpleNamespace(out=said[0], err=said[1], code=process.wait())

    return run


def test_a_command_that_does_not_exist_is_said_and_ends_with_127(supervised, run_directory):
    done = supervised("/does/not/exist")
    assert (done.err, done.code) == ("/does/not/exist: No such file or directory\n", 127)
    assert run_directory.exists()


def numbers_in_proc(supervised):
    numbers = {int(line) for line in supervised("/bin/ls", "/proc").out.split() if line.isdigit()}
    if not numbers <= {1, 2}:
        pytest.skip("this machine does not let us mount")
    return numbers


def test_a_plugin_cannot_see_processes_outside_its_namespace(supervised):
    assert numbers_in_proc(supervised) == {1, 2}


@pytest.mark.parametrize("user", [None, pytest.param(65534, marks=ORDINARY)], ids=["ourselves", "nobody"])
def test_a_plugin_sees_its_own_run_and_no_other(supervised, run_directory, user):
    numbers_in_proc(supervised)
    python = "/usr/bin/python3" if user else sys.executable
    other = run_directory.with_name("run-2")
    other.mkdir()
    (run_directory / "mine").touch()
    look = f"ls {run_directory.parent} {run_directory} ..; ls {other} ../run-2 2>/dev/null; pwd"

    done = supervised("/bin/sh", "-c", look, user=user, python=python, cwd=run_directory)

    listed = f"..:\nrun-1\n\n{run_directory.parent}:\nrun-1\n\n{run_directory}:\nmine\n"
    assert done.out == f"{listed}{run_directory}\n"


CHANGE = """
import os, sys
def tried(step, *given):
    try:
        step(*given)
        return "done"
    except OSError as error:
        return error.strerror.replace(" ", "-")
outside, inside, *opened = sys.argv[1:]
print(tried(os.chmod, outside, 0o4755), tried(os.utime, outside), tried(os.chown, outside, os.getuid(), -1))
print(tried(os.unlink, outside), tried(open, outside, "ab"), tried(os.mkdir, outside + "-folder"))
print(*(tried(os.chmod, path, 0o711) for path in (inside, *opened)))
print(tried(open, "here", "wb"), tried(open, "/dev/null", "wb"), tried(open, "/proc/self/oom_score_adj", "ab"))
"""


@pytest.mark.parametrize("user", [None, pytest.param(65534, marks=ORDINARY)], ids=["ourselves", "nobody"])
def test_of_what_is_outside_of_its_run_a_plugin_changes_nothing_but_where_it_is_to_write(
    supervised, run_directory, user
):
    numbers_in_proc(supervised)
    python = "/usr/bin/python3" if user else sys.executable
    outside, exports = run_directory.parents[1] / "outside", run_directory.parents[1] / "exports"
    outside.touch(0o600)
    exports.mkdir()
    (run_directory / "launch").mkdir()
    (run_directory / "launch" / "loader").write_text(f"pass\0TZ\0writable\0batches\0writable\0{exports}\0")
    inside = run_directory / "inside"
    inside.mkdir()
    for path in (outside, exports, run_directory, inside):
        os.chown(path, user or -1, -1)

    done = supervised(python, "-S", "-c", CHANGE, outside, inside, exports, user=user, python=python, cwd=run_directory)

    assert done.err == ""
    assert done.out.split() == ["Read-only-file-system"] * 6 + ["done"] * 5
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600


def test_a_disk_of_its_own_below_a_folder_to_write_to_stays_as_it_was(supervised, run_directory):
    numbers_in_proc(supervised)
    exports = run_directory.parents[1] / "exports"
    (run_directory / "launch").mkdir()
    (run_directory / "launch" / "loader").write_text(f"writable\0{exports}\0")
    disks = {"": exports / "own", ",ro": exports / "closed"}
    with ExitStack() as mounted:
        for how, disk in disks.items():
            disk.mkdir(parents=True)
            if subprocess.run(("mount", "-t", "tmpfs", "-o", f"size=64k{how}", "tmpfs", disk), check=False).returncode:
                pytest.skip("this machine does not let us mount")
            mounted.callback(subprocess.run, ("umount", "-l", disk), check=True)
        writes = "; ".join(f"echo rows > {disk}/file && echo written" for disk in disks.values())
        done = supervised("/bin/sh", "-c", writes, cwd=run_directory)
        assert done.out == "written\n"
        assert "closed/file: Read-only file system" in done.err
        assert (exports / "own" / "file").read_text() == "rows\n"


LOOK = """
import json, os, resource, sys
found, folder = [], f"/proc/{os.getppid()}"
paths = [f"{folder}/environ", f"{folder}/mem", *(f"{folder}/fd/{number}" for number in range(20))]
for path in paths:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        found.append(path)
    except (PermissionError, FileNotFoundError):
        pass
print(json.dumps({
    "parent": found,
    "environment": sorted(set(os.environ) - {"LC_CTYPE"}),
    "stdin": sys.stdin.read(),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("user", [None, pytest.param(65534, marks=ORDINARY)], ids=["ourselves", "nobody"])
@pytest.mark.parametrize("isolation", list(Isolation))
def test_a_plugin_can_read_nothing_of_init_and_is_given_secrets_on_stdin_only(supervised, isolation, user):
    python = "/usr/bin/python3" if user else sys.executable
    with_secret = {"SECRET": "hunter2-secret"}

    done = supervised(
        python, "-I", "-S", "-c", LOOK,
        given=b"the secret", isolation=isolation, python=python, user=user, env=with_secret,
    )  # fmt: skip

    assert json.loads(done.out) == {
        "parent": [],
        "environment": ["SECRET"],  # of a caller that gives one; ours gives none
        "stdin": "the secret",
        "core": [0, 0],
    }


def test_the_isolation_that_is_possible_here_can_be_asked_for():
    assert possible_isolation() in {*Isolation, None}


EATER = """
import os, sys, time
held = []
if os.fork() == 0:  # two eat more than one
    time.sleep(0.2)
while True:
    held.append(bytearray(os.urandom(1) * 8_000_000))
    time.sleep(0.005)
"""
HIDING = """
import ctypes, mmap, os, sys, time
way, folder, size = sys.argv[1], sys.argv[2], 128 * 1024**2
libc = ctypes.CDLL(None, use_errno=True)

def fill(file):
    for _ in range(size // 2**20):
        os.write(file, b"x" * 2**20)
    return file

if way == "files":
    for number in range(8):
        os.truncate(fill(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY)), size // 8)
if way == "closed folder":
    os.mkdir(f"{folder}/closed")
    os.close(fill(os.open(f"{folder}/closed/file", os.O_CREAT | os.O_WRONLY)))
    os.chmod(f"{folder}/closed", 0)
if way == "deep folders":
    for _ in range(1500):
        os.mkdir("d" * 100)
        os.chdir("d" * 100)
    os.close(fill(os.open("file", os.O_CREAT | os.O_WRONLY)))
if way == "file without a name":
    fill(os.open(f"{folder}/gone", os.O_CREAT | os.O_WRONLY))
    os.unlink(f"{folder}/gone")
if way == "memfd":
    fill(os.memfd_create("eater"))
if way == "mapped memfd":
    file = fill(os.memfd_create("eater"))
    held = mmap.mmap(file, size)
    os.close(file)
    os.closerange(3, 100)
if way == "shared memory":
    held = mmap.mmap(-1, size)
    for at in range(0, size, 2**20):
        held[at:at + 2**20] = b"x" * 2**20
    held.madvise(mmap.MADV_DONTNEED)
if way == "system v":
    number = libc.shmget(0, ctypes.c_size_t(size), 0o1600)
    libc.shmat.restype = ctypes.c_void_p
    at = libc.shmat(number, None, 0)
    ctypes.memset(at, 1, size)
    libc.shmdt(ctypes.c_void_p(at))
time.sleep(60)
"""
WAYS = (
    "files", "closed folder", "deep folders", "file without a name", "memfd", "mapped memfd", "shared memory",
)  # fmt: skip
HAS_MEMORY = os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free >= directory._LEAST_FREE
BREEDER = """
import os, time
while True:
    if os.fork() == 0:
        time.sleep(60)
    time.sleep(0.002)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("isolation", list(Isolation))
def test_what_takes_more_memory_together_than_it_may_is_ended(supervised, isolation):
    done = supervised(sys.executable, "-c", EATER, memory=300 * 1024**2, isolation=isolation)
    assert done.code == 112


BY_NOBODY_WHERE_PROCESSES_ARE_HIDDEN = """
import ctypes, os, sys
libc, hidden = ctypes.CDLL(None), b"hidepid=" + sys.argv[1].encode()
if libc.unshare(0x20000) or libc.mount(b"none", b"/", None, 0x4000 | 1 << 18, None):
    sys.exit(77)
if libc.mount(b"proc", b"/proc", b"proc", 0, hidden):
    sys.exit(77)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
libc.prctl(4, 1, 0, 0, 0)
os.execv(sys.argv[2], sys.argv[2:])
"""
NO_MOUNT = 77


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/bin/python3").exists(), reason="needs root and a Python")
@pytest.mark.parametrize("hidepid", ["1", "2"])
@pytest.mark.parametrize("eater", [[EATER], [HIDING, "memfd", "/"]], ids=["memory", "files without a name"])
def test_memory_is_watched_where_an_ordinary_user_sees_no_processes(supervised, hidepid, eater):
    by_nobody = ("/usr/bin/python3", "-c", BY_NOBODY_WHERE_PROCESSES_ARE_HIDDEN, hidepid)
    numbers_in_proc(supervised)
    python = "/usr/bin/python3"
    done = supervised(python, "-c", *eater, before=by_nobody, python=python, memory=100 * 1024**2)
    if done.code == NO_MOUNT:
        pytest.skip("this machine does not let us mount")
    assert (done.err, done.code) == ("", 112)


@pytest.mark.skipif(not HAS_MEMORY, reason="needs memory-backed storage, and room in it")
@pytest.mark.parametrize("way", [*WAYS, "system v"])
@pytest.mark.parametrize("user", [None, pytest.param(65534, marks=ORDINARY)], ids=["ourselves", "nobody"])
def test_memory_that_no_process_has_mapped_counts_too(supervised, run_directory, way, user):
    python = "/usr/bin/python3" if user else sys.executable
    run_directory.chmod(0o777)
    done = supervised(
        python, "-c", HIDING, way, run_directory, memory=100 * 1024**2, user=user, python=python, cwd=run_directory
    )
    assert (done.err, done.code) == ("", 112)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("isolation", list(Isolation))
def test_what_starts_more_processes_than_it_may_is_ended(supervised, isolation):
    done = supervised(sys.executable, "-c", BREEDER, processes=100, isolation=isolation)
    assert done.code == 113


@pytest.mark.parametrize("user", [pytest.param(65534, marks=ORDINARY)])
def test_an_ordinary_users_processes_are_limited_by_the_kernel_too(supervised, user):
    python = "/usr/bin/python3"
    done = supervised(python, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_NPROC))",
                      processes=100, user=user, python=python)  # fmt: skip
    assert done.out == "(100, 100)\n"


def test_a_command_does_not_pass_for_one_that_took_too_much(supervised):
    assert supervised("/bin/sh", "-c", "exit 112").code == 1


def test_root_keeps_the_capabilities_for_files_alone(supervised):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    status = supervised("/bin/cat", "/proc/self/status").out
    [effective] = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff")]
    assert effective == 0b11111


@pytest.mark.skipif(not Path("/run/dbus").is_dir(), reason="needs a service to hide")
@pytest.mark.parametrize("user", [None, pytest.param(65534, marks=ORDINARY)], ids=["ourselves", "nobody"])
def test_services_that_start_programs_are_out_of_sight(supervised, user):
    python = "/usr/bin/python3" if user else sys.executable
    assert supervised("/usr/bin/stat", "--format=%a %s", "/run/dbus", user=user, python=python).out == "0 40\n"
