import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy

from orchestrator.drivers import embedded_postgres
from orchestrator.drivers.embedded_postgres import EmbeddedPostgres, binaries, cluster, keeper
from orchestrator.drivers.embedded_postgres.keeper import Files, Plan, hold, is_free
from orchestrator.kernel.errors import (
    ActionNeededError,
    InvalidConfigError,
    NotAllowedError,
    TemporaryError,
)

AT_ONCE = timedelta(0)
LONG = timedelta(minutes=5)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about what root gives up")

# A process that uses the server: prints its address, then waits for its stdin to end.
CLIENT = """
import json, sys
from datetime import timedelta
from pathlib import Path
from orchestrator.drivers.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), linger=timedelta(seconds=float(sys.argv[2])))
address = server.start()
print(json.dumps({"host": address.host, "pid": server.status().pid}), flush=True)
sys.stdin.read()
"""

# The same as an ordinary user. The interpreter itself may be where only root can go: all is imported before.
UNPRIVILEGED = """
import os, sys, psycopg, psycopg.sql, pydantic, psutil
from orchestrator.drivers.embedded_postgres import EmbeddedPostgres
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.executable = sys.argv[3]
""" + CLIENT.replace("address = server.start()", "server.start(); address = server.start()")


@contextmanager
def at_most(seconds):
    """Waiting for the kernel to free a lock is an event; this only ends a test that would wait for ever."""

    def give_up(*_):
        raise AssertionError("waited too long")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def wait_until_free(lock):
    """Returns when the last process that holds the lock is gone."""
    with at_most(120), lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def wait_until_gone(home):
    wait_until_free(files_of(home).running)
    wait_until_free(files_of(home).keeper)


def files_of(home):
    return Files(home / "postgres")


@contextmanager
def client(home, *, linger=300.0, code=CLIENT, arguments=()):
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home), str(linger), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def said(process):
    line = process.stdout.readline()
    assert line, "the client ended without an answer"
    return json.loads(line)


def connect(address, database="warehouse", password=None):
    return psycopg.connect(
        host=address.host, port=address.port, user=address.user, dbname=database, autocommit=True,
        password=password or address.password.get_secret_value(),
    )  # fmt: skip


def one(address, statement, database="warehouse"):
    with connect(address, database) as connection:
        return connection.execute(statement).fetchone()[0]


@pytest.fixture
def home(tmp_path):
    """An ORCHESTRATOR_HOME of its own; its server is gone at the end, whatever the test did."""
    home = tmp_path / "home"
    yield home
    if (pid := EmbeddedPostgres(home).status().pid) is not None:
        keeper.stop(pid, files_of(home))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One server for the tests that only look at it."""
    home = tmp_path_factory.mktemp("shared") / "home"
    server = EmbeddedPostgres(home, linger=AT_ONCE)
    server.start()
    yield home
    server.close()
    wait_until_gone(home)


@pytest.fixture
def address(shared):
    server = EmbeddedPostgres(shared)
    yield server.start()
    server.close()


# --- starting and joining ---------------------------------------------------------------------------------


def test_three_processes_at_once_on_a_fresh_folder_share_one_server(home):
    with client(home) as a, client(home) as b, client(home) as c:
        answers = [said(process) for process in (a, b, c)]
        users = EmbeddedPostgres(home).status().users
    assert len({answer["pid"] for answer in answers}) == 1
    assert set(users) == {a.pid, b.pid, c.pid}


def test_both_databases_are_there_and_speak_utf8_and_utc(address):
    for database in ("orchestrator", "warehouse"):
        with connect(address, database) as connection:
            shown = [
                connection.execute(f"SHOW {name}").fetchone()[0] for name in ("server_encoding", "timezone", "fsync")
            ]
        assert shown == ["UTF8", "UTC", "on"]
    assert one(address, "SELECT lower('ÄÖÜ')") == "äöü"


def test_joining_a_warm_server_starts_no_process_and_opens_no_session(shared, monkeypatch):
    def refused(*_, **__):
        raise AssertionError("not on the warm path")

    monkeypatch.setattr(subprocess, "Popen", refused)
    monkeypatch.setattr(psycopg, "connect", refused)
    joined = EmbeddedPostgres(shared)
    first, second = joined.start(), joined.start()
    joined.close()
    assert first.host == second.host == str(files_of(shared).sockets)


def test_a_database_asked_for_later_is_made(shared):
    late = EmbeddedPostgres(shared, databases=("warehouse", 'od"d'))
    assert one(late.start(), "SELECT current_database()", 'od"d') == 'od"d'
    late.close()


def test_the_url_reaches_the_database_through_sqlalchemy(address):
    url = address.url("warehouse")
    engine = sqlalchemy.create_engine(url.get_secret_value())
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT current_database()")).scalar() == "warehouse"
    engine.dispose()
    assert "orchestrator:" not in str(url)


def test_a_home_too_deep_for_a_socket_path_works_through_a_private_link(home, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="o") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        monkeypatch.setattr(embedded_postgres.address, "_NAMES", 2)
        _starts_through_a_link(home)


def _starts_through_a_link(home):
    deep = home / ("d" * 60) / ("e" * 60)
    server = EmbeddedPostgres(deep, linger=AT_ONCE)
    address = server.start()
    assert one(address, "SELECT 1") == 1
    assert len(address.host) < 80
    link = Path(address.host)
    assert stat.S_IMODE(link.parent.stat().st_mode) == 0o700
    server.close()
    wait_until_gone(deep)
    link.unlink()
    link.parent.chmod(0o755)  # as somebody else's is: another name is taken, as long as there is one
    second = Path(server.start().host)
    assert second.parent.name == f"{link.parent.name}-2"
    server.close()
    wait_until_gone(deep)
    second.unlink()
    second.parent.chmod(0o755)
    with pytest.raises(NotAllowedError, match="not a private folder"):
        server.start()


def test_status_before_the_first_start_says_so_and_makes_nothing(home):
    status = EmbeddedPostgres(home).status()
    assert (status.running, status.version, status.pid, status.size_bytes, status.users) == (False, None, None, 0, ())
    assert EmbeddedPostgres(home).stop_if_unused()
    assert not home.exists()


def test_status_names_version_size_and_users(shared):
    status = EmbeddedPostgres(shared).status()
    assert status.running and status.version == 18 and status.size_bytes > 10_000_000
    assert os.getpid() in status.users
    assert psutil.Process(status.pid).name() == "postgres"


# --- leaving ----------------------------------------------------------------------------------------------


def test_the_server_stops_once_the_last_user_has_left(home):
    a, b = EmbeddedPostgres(home, linger=AT_ONCE), EmbeddedPostgres(home, linger=AT_ONCE)
    a.start()
    address = b.start()
    a.close()
    assert one(address, "SELECT 1") == 1
    b.close()
    wait_until_gone(home)
    assert not EmbeddedPostgres(home).status().running


def test_a_client_killed_hard_gives_its_lease_back(home):
    with client(home, linger=0) as process:
        said(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until_gone(home)


def test_the_server_lingers_for_the_next_command_and_can_be_stopped_at_once(home):
    server = EmbeddedPostgres(home, linger=LONG)
    server.start()
    assert not EmbeddedPostgres(home).stop_if_unused()
    server.close()
    pid = server.status().pid
    server.start()
    assert server.status().pid == pid
    server.close()
    assert server.stop_if_unused()
    wait_until_free(files_of(home).keeper)
    assert not server.status().running


def test_idleness_begins_anew_when_somebody_came_and_went(tmp_path):
    files = Files(tmp_path)
    lease = hold(files.lease, fcntl.LOCK_SH)
    idleness = keeper.Idleness(files)
    assert idleness.seconds() == 0.0
    os.close(lease)
    assert idleness.seconds() == 0.0
    assert idleness.seconds() > 0.0
    os.utime(files.lease, (1, 1))
    assert idleness.seconds() == 0.0


def test_ctrl_c_of_the_command_that_started_it_leaves_the_server_alone(home):
    with client(home) as process:
        pid = said(process)["pid"]
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
    assert EmbeddedPostgres(home).status().pid == pid
    assert os.getsid(pid) != process.pid
    assert not is_free(files_of(home).keeper)


def test_sigterm_of_the_keeper_stops_the_server_in_order(home):
    server = EmbeddedPostgres(home, linger=LONG)
    server.start()
    psutil.Process(server.status().pid).parent().terminate()
    wait_until_gone(home)
    assert "database system is shut down" in files_of(home).log.read_text()
    server.close()


# --- healing ----------------------------------------------------------------------------------------------


def test_a_killed_postmaster_is_healed_by_the_next_start_without_losing_a_row(home):
    server = EmbeddedPostgres(home, linger=LONG)
    with connect(server.start()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    killed = server.status().pid
    os.kill(killed, signal.SIGKILL)
    assert one(server.start(), "SELECT answer FROM kept") == 42
    assert server.status().pid != killed
    server.close()


def test_backends_orphaned_in_the_middle_of_their_work_are_ended(home, monkeypatch):
    monkeypatch.setattr(embedded_postgres, "ORPHAN_SECONDS", 0.1)
    server = EmbeddedPostgres(home, linger=LONG)
    with connect(server.start()) as busy:
        backend = psutil.Process(busy.info.backend_pid)
        backend.suspend()  # so that it cannot notice that its postmaster is dead
        os.kill(server.status().pid, signal.SIGKILL)
        assert one(server.start(), "SELECT 1") == 1
        assert not backend.is_running() or backend.status() == psutil.STATUS_ZOMBIE
    server.close()


def test_a_stale_pid_file_with_a_living_stranger_in_it_is_no_obstacle(home):
    server = EmbeddedPostgres(home, linger=AT_ONCE)
    server.start()
    server.close()
    wait_until_gone(home)
    files = files_of(home)
    account = binaries.account_for(files.server, None)
    with subprocess.Popen(["/bin/sleep", "60"], **(account.drop() if account else {})) as stranger:
        (files.data / "postmaster.pid").write_text(f"{stranger.pid}\n{files.data}\n1\n5432\n../run\n\n  1 1\nready\n")
        os.chown(files.data / "postmaster.pid", files.data.stat().st_uid, -1)
        assert one(server.start(), "SELECT 1") == 1
        stranger.kill()
    server.close()


def test_a_start_killed_inside_initdb_is_begun_anew(home):
    aside = files_of(home).server / "data.tmp"
    with client(home) as process, at_most(120):
        while not (aside / "base").exists() and process.poll() is None:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert aside.exists() and not files_of(home).data.exists()
    server = EmbeddedPostgres(home, linger=AT_ONCE)
    assert one(server.start(), "SELECT 1") == 1
    assert not aside.exists() and not (files_of(home).server / "first-password").exists()
    server.close()


def test_a_killed_keeper_is_replaced_and_the_server_still_ends_with_its_last_user(home):
    server = EmbeddedPostgres(home, linger=AT_ONCE)
    server.start()
    pid = server.status().pid
    psutil.Process(pid).parent().kill()
    wait_until_free(files_of(home).keeper)
    server.start()
    assert server.status().pid == pid
    server.close()
    wait_until_gone(home)


def test_a_dropped_warehouse_is_made_again_at_the_next_cold_start(home):
    server = EmbeddedPostgres(home, linger=LONG)
    with connect(server.start(), "orchestrator") as connection:
        connection.execute("DROP DATABASE warehouse")
    server.close()
    assert server.stop_if_unused()
    assert one(server.start(), "SELECT current_database()") == "warehouse"
    server.close()


# --- keeping secrets --------------------------------------------------------------------------------------


def test_a_wrong_password_and_no_password_are_refused(address):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(address, password="wrong")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(host=address.host, port=address.port, user=address.user, dbname="warehouse")


def test_nothing_listens_on_the_network(shared, address):
    assert one(address, "SHOW listen_addresses") == ""
    assert not psutil.Process(EmbeddedPostgres(shared).status().pid).net_connections(kind="inet")


def test_neither_statements_nor_values_nor_the_password_reach_the_log(shared):
    server = EmbeddedPostgres(shared)
    address = server.start()
    with connect(address) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS people (email text PRIMARY KEY)")
        connection.execute("INSERT INTO people VALUES (%s)", ["marker-bind"])
        for statement, values in (
            ("INSERT INTO people VALUES (%s)", ["marker-bind"]),
            ("SELECT %s::int", ["marker-cast"]),
            ("SELECT marker_column", []),
            ("DO $$ BEGIN RAISE WARNING 'marker-warning'; RAISE EXCEPTION 'marker-raised'; END $$", []),
        ):
            with pytest.raises(psycopg.Error, match="marker"):
                connection.execute(statement, values)
    # A backend that crashes: Postgres would log the statement it was running.
    with connect(address) as doomed, pytest.raises(psycopg.OperationalError):
        doomed.execute("COPY (SELECT 'marker-program') TO PROGRAM 'kill -9 $PPID; sleep 5'")
    while "terminated by signal 9" not in files_of(shared).log.read_text():  # its connection ended before
        time.sleep(0.05)
    server.start()
    with pytest.raises(psycopg.OperationalError):
        connect(address, password="marker-password")
    log = files_of(shared).log.read_text()
    server.close()
    assert "marker" not in log.lower() and address.password.get_secret_value() not in log


def test_the_server_inherits_no_environment_and_its_arguments_hold_no_secret(shared, address):
    postmaster = psutil.Process(EmbeddedPostgres(shared).status().pid)
    for process in (postmaster, postmaster.parent()):
        assert set(process.environ()) <= {"LC_ALL", "PATH", "LC_CTYPE", "PWD"} | {"PGLOCALEDIR", "PGSYSCONFDIR"}
        assert address.password.get_secret_value() not in " ".join(process.cmdline())
    outside = {file.path for file in postmaster.open_files() if not file.path.startswith(str(files_of(shared).data))}
    assert outside == {str(files_of(shared).log), str(files_of(shared).running)}


def test_all_of_it_is_private_even_where_somebody_had_opened_it(home):
    server = EmbeddedPostgres(home, linger=AT_ONCE)
    server.start()
    server.close()
    wait_until_gone(home)
    files = files_of(home)
    for path, mode in ((files.root, 0o755), (files.data, 0o755), (files.sockets, 0o777), (files.password, 0o644)):
        path.chmod(mode)
    server.start()
    others = {path: path.stat().st_mode & 0o077 for path in (home, files.root, files.data, files.password, files.log)}
    assert set(others.values()) == {0}
    assert files.server.stat().st_mode & 0o007 == files.sockets.stat().st_mode & 0o007 == 0
    server.close()


def test_a_lost_password_is_named_and_the_data_left_alone(home):
    server = EmbeddedPostgres(home, linger=AT_ONCE)
    server.start()
    server.close()
    files_of(home).password.unlink()
    with pytest.raises(ActionNeededError, match="password of the embedded database"):
        server.start()
    assert files_of(home).data.exists() and not files_of(home).password.exists()


# --- as whom ----------------------------------------------------------------------------------------------


@as_root
def test_root_drops_to_an_unprivileged_user_below_a_folder_only_root_can_enter(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "home", user="nobody", linger=AT_ONCE)
    address = server.start()
    assert one(address, "SELECT 1") == 1
    postmaster = psutil.Process(server.status().pid)
    assert postmaster.username() == "nobody" and postmaster.uids().saved != 0
    status = Path(f"/proc/{postmaster.pid}/status").read_text()
    assert "Groups:\t \n" in status and "CapEff:\t0000000000000000" in status
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700 and closed.stat().st_uid == 0
    server.close()
    wait_until_gone(closed / "home")
    account = binaries.account_for(files_of(closed / "home").server, None)
    groups = os.getgroups()
    os.setgroups([4])
    try:  # initdb and the probes, too
        said = subprocess.check_output(["/usr/bin/id", "-G"], text=True, **account.drop())
    finally:
        os.setgroups(groups)
    assert said == "65534\n"


@as_root
def test_an_ordinary_user_runs_it_as_herself():
    python = "/usr/bin/python3"
    if not Path(python).exists():
        pytest.skip("no interpreter that an ordinary user could start")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        home = Path(folder) / "home"
        with client(home, linger=0, code=UNPRIVILEGED, arguments=(python,)) as process:
            answer = said(process)
            assert psutil.Process(answer["pid"]).uids().real == 65534
            root = EmbeddedPostgres(home)
            assert one(root.start(), "SELECT 1") == 1  # root joins her server too
            root.close()
            assert files_of(home).data.stat().st_uid == 65534
            process.stdin.close()
            wait_until_gone(home)


def test_root_without_a_user_to_drop_to_is_told_so(monkeypatch, home):
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def unknown(name):
        raise KeyError(name)

    monkeypatch.setattr(binaries.pwd, "getpwnam", unknown)
    with pytest.raises(ActionNeededError, match="neither a user `postgres` nor `nobody`"):
        binaries.account_for(home, None)
    with pytest.raises(InvalidConfigError, match="'ghost'"):
        binaries.account_for(home, "ghost")


@as_root
def test_programs_below_a_folder_only_root_can_enter_are_copied_once(tmp_path, monkeypatch):
    wheel = binaries.wheel_folder()
    hidden = tmp_path / "site-packages"
    hidden.mkdir(mode=0o700)
    hidden.joinpath(wheel.name).mkdir()
    for part in (f"{wheel.name}/pginstall18", f"{wheel.name}.libs"):
        subprocess.run(["/bin/cp", "-al", wheel.parent / part, hidden / part], check=True)
    monkeypatch.setattr(binaries, "wheel_folder", lambda: hidden / wheel.name)
    account = binaries.Account(name="nobody", uid=65534, gid=65534)
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        monkeypatch.setattr(binaries, "SYSTEM_COPIES", Path(open_to_all) / "orchestrator")
        found = binaries.find(None, account, 18)
        assert found.folder.is_relative_to(open_to_all) and found.version == "18.4"
        made = found.folder.stat().st_ino
        assert binaries.find(None, account, 18).folder.stat().st_ino == made
        assert found.folder.joinpath("postgres").stat().st_mode & 0o022 == 0
        assert len(list(binaries.SYSTEM_COPIES.iterdir())) == 1


@as_root
def test_a_chosen_folder_the_user_cannot_enter_is_refused(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("postgres", "initdb"):
        (closed / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 18.1'\n")
        (closed / name).chmod(0o755)
    account = binaries.Account(name="nobody", uid=65534, gid=65534)
    with pytest.raises(ActionNeededError, match="user nobody cannot run Postgres from"):
        binaries.find(closed, account, None)


# --- what cannot be ---------------------------------------------------------------------------------------


def test_data_of_another_major_version_is_never_touched(home):
    data = files_of(home).data
    cluster.folders(files_of(home), binaries.account_for(files_of(home).server, None))
    data.mkdir(mode=0o700)
    os.chown(data, data.parent.stat().st_uid, -1)
    (data / "PG_VERSION").write_text("12\n")
    with pytest.raises(
        ActionNeededError, match=r"made by Postgres 12, which is not available here \(found: 18"
    ) as caught:
        EmbeddedPostgres(home).start()
    assert "ORCHESTRATOR_POSTGRES__BINARIES" in caught.value.hint
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]
    (data / "PG_VERSION").unlink()
    with pytest.raises(ActionNeededError, match="is not a Postgres data folder"):
        EmbeddedPostgres(home).start()


def test_a_cluster_is_opened_by_the_version_that_made_it(home):
    older = binaries.wheel_folder() / "pginstall" / "bin"
    made = EmbeddedPostgres(home, binaries=older, linger=AT_ONCE)
    assert one(made.start(), "SELECT lower('Ä')") == "ä"
    made.close()
    wait_until_gone(home)
    later = EmbeddedPostgres(home, linger=AT_ONCE)
    assert one(later.start(), "SHOW server_version").startswith("16.")
    assert later.status().version == 16
    later.close()


def test_no_postgres_anywhere_is_a_sentence(tmp_path):
    with pytest.raises(ActionNeededError, match="No Postgres 14 or newer was found"):
        binaries.find(tmp_path, None, None)


def test_a_folder_of_somebody_else_is_refused(home):
    files = files_of(home)
    cluster.folders(files, None)
    with pytest.raises(NotAllowedError, match="belongs to user"):
        cluster._narrow(files.data.parent, os.geteuid() + 1, 0o700)


def test_a_symlink_in_place_of_a_folder_is_not_followed(home, tmp_path):
    files = files_of(home)
    cluster.folders(files, None)
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    files.data.symlink_to(victim)
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        cluster.folders(files, None)
    assert stat.S_IMODE(victim.stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        pytest.param(os.strerror(28), TemporaryError, id="disk full"),
        pytest.param("Permission denied", NotAllowedError, id="no permission"),
        pytest.param("Read-only file system", NotAllowedError, id="read-only"),
        pytest.param("could not look up effective user ID 4711", ActionNeededError, id="user not in passwd"),
        pytest.param("something new", TemporaryError, id="anything else"),
    ],
)
def test_what_postgres_said_becomes_one_sentence_with_a_hint(reason, error):
    said = f"running bootstrap script ...\n2026-01-01 00:00:00 UTC [1] FATAL:  could not write: {reason}\nchild exited"
    made = cluster.failure("It failed", said)
    assert type(made) is error and made.hint
    assert made.message.startswith("It failed: FATAL:  could not write")


@pytest.mark.parametrize(("number", "error"), [(28, TemporaryError), (13, NotAllowedError), (5, TemporaryError)])
def test_refusals_of_the_system_become_sentences(home, monkeypatch, number, error):
    def refuse(*_):
        raise OSError(number, os.strerror(number), "/some/file")

    monkeypatch.setattr(cluster, "folders", refuse)
    with pytest.raises(error, match=os.strerror(number)) as caught:
        EmbeddedPostgres(home).start()
    assert caught.value.hint


def test_a_server_that_cannot_start_says_why(home):
    server = EmbeddedPostgres(home, linger=AT_ONCE)
    server.start()
    server.close()
    wait_until_gone(home)
    with (files_of(home).data / "postgresql.conf").open("a") as settings:
        settings.write("\nshared_buffers = 'plenty'\n")
    with pytest.raises(TemporaryError, match=r"did not start: FATAL.*postgresql\.conf") as caught:
        server.start()
    assert "Traceback" not in str(caught.value)
    assert is_free(files_of(home).lease)


def test_waiting_for_another_starter_ends_with_a_sentence(home):
    server = EmbeddedPostgres(home, patience=timedelta(0))
    cluster.folders(files_of(home), binaries.account_for(files_of(home).server, None))
    mutex = hold(files_of(home).mutex, fcntl.LOCK_EX)
    try:
        with pytest.raises(TemporaryError, match="another process is starting or stopping it"):
            server.start()
    finally:
        os.close(mutex)


# --- the keeper, in this process --------------------------------------------------------------------------


def test_the_keeper_starts_a_server_and_stops_it_when_nobody_comes(home):
    server = EmbeddedPostgres(home, linger=AT_ONCE)
    server.start()
    server.close()
    wait_until_gone(home)
    files = files_of(home)
    account = binaries.account_for(files.server, None)
    argv = cluster.command(files, binaries.find(None, account, 18), account, 5432)
    lock = hold(files.running, fcntl.LOCK_EX)
    before = {name: signal.getsignal(name) for name in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP)}
    files.log.write_text("")
    try:
        keeper.keep(Plan(str(files.root), argv, account and (account.uid, account.gid), lock, 0, 0.0))
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    assert is_free(files.running)
    assert "database system is shut down" in files.log.read_text()


def test_the_log_stays_small(tmp_path):
    log = tmp_path / "postgres.log"
    log.write_text("x" * 11)
    with log.open("a") as server:
        keeper.trim(log, limit=10)
        server.write("y")
    assert log.read_text() == "y" and (tmp_path / "postgres.log.1").read_text() == "x" * 11


def test_a_silent_server_counts_as_busy_and_no_server_as_away(tmp_path):
    path = str(tmp_path / "s")
    assert keeper.ping(path, "me") == "away" and keeper.listener_pid(path) is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        assert keeper.ping(path, "me") == "away"
        listener.listen()
        assert keeper.ping(path, "me", seconds=0.01) == "busy"
        assert keeper.listener_pid(path) == os.getpid()
