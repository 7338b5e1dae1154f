import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from orchestrator.drivers.meltano import socket_server
from orchestrator.drivers.meltano.socket_server import serving, state_answers, token_answers
from orchestrator.kernel.errors import ConflictError


@pytest.fixture
def ask(tmp_path):
    """Serve callbacks, send raw lines, give the answers back."""

    def ask(answer, *lines, limit=1000, failed=lambda _: None, nonce=None):
        with serving(tmp_path / "x.sock", answer, limit=limit, failed=failed) as address:
            path, _, known = address.rpartition("#")
            assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
                connection.sendall((known if nonce is None else nonce).encode() + b"\n" + b"".join(lines))
                connection.shutdown(socket.SHUT_WR)
                with connection.makefile("rb") as answers:
                    return [json.loads(line) for line in answers]

    return ask


def test_state_is_got_and_set(ask):
    saved = []
    answers = ask(
        state_answers(lambda state_id: {"completed": {"id": state_id}}, lambda *given: saved.append(given)),
        b'{"op": "get", "state_id": "a"}\n',
        b'{"op": "set", "state_id": "a", "state": {"completed": {}}}\n',
    )
    assert answers == [{"state": {"completed": {"id": "a"}}}, {"ok": True}]
    assert saved == [("a", {"completed": {}})]


@pytest.mark.parametrize(
    "line",
    [
        b"{\n",
        b"[]\n",
        b'{"op": "drop"}\n',
        b'{"op": "set", "state_id": 5, "state": {}}\n',
        b"\xff\xfe\n",
        b"[" * 900 + b"\n",
    ],
)
def test_bad_requests_get_an_error_and_the_next_one_is_still_answered(ask, line):
    bad, good = ask(state_answers(lambda _: None, print), line, b'{"op": "get", "state_id": "a"}\n')
    assert bad["error"]["code"] == "bad_request"
    assert good == {"state": None}


def test_a_request_that_is_too_long_is_refused(ask):
    [answer] = ask(state_answers(lambda _: None, print), b"x" * 2000, limit=1000)
    assert answer["error"]["code"] == "too_large"


def test_a_foreseen_failure_says_its_code_and_any_other_says_nothing(ask):
    failures = []

    def foreseen(_digest):
        raise ConflictError("Somebody else refreshed it.")

    def other(_digest):
        raise RuntimeError("dsn=postgres://secret")

    line = b'{"rejected_sha256": "abc"}\n'
    [first] = ask(token_answers(foreseen), line, failed=failures.append)
    [second] = ask(token_answers(other), line, failed=failures.append)

    assert first == {"error": {"code": "conflict", "message": "Somebody else refreshed it."}}
    assert second == {"error": {"code": "internal", "message": "the orchestrator failed to answer"}}
    assert [type(failure) for failure in failures] == [ConflictError, RuntimeError]


@pytest.mark.parametrize("nonce", ["", "0" * 32, '{"op": "get", "state_id": "a"}'])
def test_without_the_nonce_nothing_is_asked_and_nothing_fails(ask, nonce):
    asked, failures = [], []

    [answer] = ask(
        state_answers(asked.append, print), b'{"op": "get", "state_id": "a"}\n', nonce=nonce, failed=failures.append
    )

    assert answer["error"]["code"] == "not_allowed"
    assert (asked, failures) == ([], [])


def test_every_socket_has_a_nonce_of_its_own(tmp_path):
    answer = state_answers(lambda _: None, print)
    with serving(tmp_path / "a", answer, limit=1) as one, serving(tmp_path / "b", answer, limit=1) as other:
        nonces = {address.rpartition("#")[2] for address in (one, other)}
    assert [len(nonce) for nonce in nonces] == [32, 32]


def test_a_flood_of_connections_is_hung_up_on_and_others_are_answered_afterwards(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(socket_server, "_CONNECTIONS", 2)
    with serving(tmp_path / "f", state_answers(lambda _: None, print), limit=1000) as address:
        path, _, nonce = address.rpartition("#")
        with ExitStack() as stack:
            many = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3)]
            for connection in many:
                connection.connect(path)
            assert many[2].recv(1) == b""
        while True:  # until the threads of those that went away have seen it
            with socket.socket(socket.AF_UNIX) as later:
                later.connect(path)
                with suppress(ConnectionError):
                    later.sendall(f'{nonce}\n{{"op": "get", "state_id": "a"}}\n'.encode())
                    if later.recv(100) == b'{"state": null}\n':
                        return


def test_who_says_nothing_is_hung_up_on_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(socket_server, "_NONCE_TIMEOUT", 0.05)
    serve = serving(tmp_path / "s", state_answers(lambda _: None, print), limit=1000)
    with serve as address, socket.socket(socket.AF_UNIX) as silent:
        silent.settimeout(5)
        silent.connect(address.partition("#")[0])
        assert silent.recv(1) == b""


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the kernel doesn't tell who calls")
def test_a_process_that_is_none_of_the_runs_is_hung_up_on_even_with_the_nonce(tmp_path):
    asked = []
    serve = partial(serving, tmp_path / "s", state_answers(lambda _: None, print), limit=1000)
    with serve(is_ours=lambda pid: asked.append(pid) or False) as address, socket.socket(socket.AF_UNIX) as stranger:
        path, _, nonce = address.rpartition("#")
        stranger.settimeout(5)
        stranger.connect(path)
        with suppress(ConnectionError):
            stranger.sendall(f'{nonce}\n{{"op": "get", "state_id": "a"}}\n'.encode())
            assert stranger.recv(1) == b""
    assert asked == [os.getpid()]


def _asked(address, connection):
    path, _, nonce = address.rpartition("#")
    connection.settimeout(5)
    with suppress(OSError):  # it is connected already
        connection.connect(path)
    connection.sendall(f'{nonce}\n{{"op": "get", "state_id": "a"}}\n'.encode())
    return connection.recv(100)


FEW_FILES = """
import os, resource, socket, sys, time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from orchestrator.drivers.meltano.socket_server import serving, state_answers

@contextmanager
def few_files(more):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [os.open(os.devnull, os.O_RDONLY) for _ in range(more + 1)]
    for file in free:
        os.close(file)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

def asked(address, connection):
    nonce = address.rpartition("#")[2]
    connection.settimeout(5)
    connection.sendall(f'{nonce}\\n{{"op": "get", "state_id": "a"}}\\n'.encode())
    return connection.recv(100).decode()

serve = partial(serving, Path(sys.argv[1]), state_answers(lambda _: None, print), limit=1000)
"""


def _with_few_files(program, tmp_path):
    """What it prints, in a process of its own: other threads of ours need files, too."""
    words = [sys.executable, "-c", FEW_FILES + program, str(tmp_path / "s")]
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout.splitlines()


def test_who_calls_while_too_many_files_are_open_waits_and_so_do_we(tmp_path):
    tries, said = _with_few_files(
        """
tries, accept = [], socket.socket.accept
socket.socket.accept = lambda one: tries.append(one) or accept(one)
with serve() as address, socket.socket(socket.AF_UNIX) as early:
    with few_files(0):
        early.connect(address.partition("#")[0])
        time.sleep(0.3)
    print(len(tries))
    print(asked(address, early), end="")
""",
        tmp_path,
    )

    assert 0 < int(tries) < 10
    assert said == '{"state": null}'


def test_where_a_socket_can_be_made_it_answers(tmp_path):
    [said] = _with_few_files(
        """
with socket.socket(socket.AF_UNIX) as caller, ExitStack() as stack:
    with few_files(3):  # the socket itself, and the two that end it
        address = stack.enter_context(serve())
        time.sleep(0.05)
    caller.connect(address.partition("#")[0])
    print(asked(address, caller), end="")
""",
        tmp_path,
    )

    assert said == '{"state": null}'


def test_connections_for_which_no_thread_can_be_started_take_nobodys_place(tmp_path, monkeypatch):
    monkeypatch.setattr(socket_server, "_CONNECTIONS", 1)
    with serving(tmp_path / "s", state_answers(lambda _: None, print), limit=1000) as address:
        with monkeypatch.context() as full, socket.socket(socket.AF_UNIX) as refused:
            full.setattr(threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("no more threads")))
            refused.settimeout(5)
            refused.connect(address.partition("#")[0])
            assert refused.recv(1) == b""
        with socket.socket(socket.AF_UNIX) as later:
            assert _asked(address, later) == b'{"state": null}\n'


def test_it_ends_though_a_process_that_was_forked_meanwhile_has_all_it_had_open(tmp_path, monkeypatch):
    pairs = []
    make = socket.socketpair
    monkeypatch.setattr(socket, "socketpair", lambda: pairs.append(make()) or pairs[-1])
    with ExitStack() as stack:
        with serving(tmp_path / "s", state_answers(lambda _: None, print), limit=1000):
            for one in pairs[0]:
                held = stack.enter_context(one.dup())
                timer = threading.Timer(60, held.close)  # so that this fails, and does not hang
                timer.start()
                stack.callback(timer.cancel)
            began = time.monotonic()
        assert time.monotonic() - began < 30
