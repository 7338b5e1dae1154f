"""A worker's port: what it answers, and what it keeps to itself."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from http import HTTPStatus

import pytest

from orchestrator.entry.observing.probes import AddressTakenError, Probes, document, kept
from orchestrator.entry.observing.readiness import healthz, readyz
from orchestrator.kernel.db import DatabaseAwayError
from orchestrator.migrations.runner import NewerDatabaseError


class Worker:
    alive, draining = True, False


@pytest.fixture
def served():
    """Serve pages; answers what asks for a path: (status, text)."""
    opened = []

    def start(pages):
        probes = Probes("127.0.0.1", 0, pages)
        probes.start()
        opened.append(probes)

        def get(path, method="GET", headers=None):
            url = f"http://{probes.address}{path}"
            request = urllib.request.Request(url, method=method, headers=headers or {})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        get.address = probes.address
        return get

    yield start
    for one in opened:
        one.close()


def test_only_its_pages_are_there_and_only_to_be_read(served):
    get = served({"/healthz": healthz(Worker())})
    assert get("/healthz?x=1") == (200, '{\n  "alive": true\n}\n')
    assert get("/../etc/passwd") == (404, "/healthz\n")
    assert get("/healthz", method="POST")[0] == 501


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:9464", 200), ("[::1]:1", 200), ("127.0.0.1", 200), ("evil.example:9464", 421)]
)
def test_on_loopback_it_answers_to_no_name_that_somebody_lets_point_here(served, host, status):
    assert served({"/healthz": healthz(Worker())})("/healthz", headers={"Host": host})[0] == status


def test_callers_that_never_say_what_they_want_keep_nobody_out_and_take_few_threads(served):
    get = served({"/healthz": healthz(Worker())})
    before, silent = threading.active_count(), []
    host, port = get.address.split(":")
    for _ in range(200):
        caller = socket.create_connection((host, int(port)))
        caller.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        silent.append(caller)
    assert eventually_answered(get)[0] == 200
    assert threading.active_count() - before <= 64
    for caller in silent:
        caller.close()


def eventually_answered(get):
    """Where threads of those who were hung up on haven't ended yet, who comes next may be sent away, and asks again."""
    until = time.monotonic() + 60
    while True:
        try:
            return get("/healthz")
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_page_that_can_not_be_made_tells_strangers_nothing(served):
    def broken():
        raise RuntimeError("secret words")

    status, said = served({"/metrics": broken})("/metrics")
    assert (status, "secret" in said) == (500, False)


def test_a_page_that_costs_is_made_once_however_many_ask(served):
    made = []

    def page():
        made.append(1)
        return document(HTTPStatus.OK, {})

    get = served({"/metrics": kept(page, seconds=60)})
    callers = [threading.Thread(target=get, args=("/metrics",)) for _ in range(10)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    assert len(made) == 1


def test_a_taken_address_is_a_sentence():
    first = Probes("127.0.0.1", 0, {})
    port = int(first.address.rpartition(":")[2])
    first.start()
    try:
        with pytest.raises(AddressTakenError, match=f"127.0.0.1:{port}"):
            Probes("127.0.0.1", port, {})
    finally:
        first.close()


@pytest.mark.parametrize(
    ("raised", "draining", "status", "checks"),
    [
        pytest.param(None, False, 200, {"database": "ok", "draining": False}, id="all is well"),
        pytest.param(None, True, 503, {"draining": True}, id="it takes nothing new"),
        pytest.param(DatabaseAwayError("gone"), False, 503, {"database": "away", "migrations": "unknown"}, id="away"),
        pytest.param(NewerDatabaseError("2099"), False, 503, {"migrations": "database_newer"}, id="newer"),
    ],
)
def test_ready_says_what_it_is_that_is_missing(drivers, raised, draining, status, checks):
    def check(_db):
        if raised is not None:
            raise raised

    drivers.check = check
    drivers.meltano.possible_isolation = lambda: None
    drivers.meltano.plugins_kept_apart = lambda: False
    worker = Worker()
    worker.draining = draining
    found, _, body = readyz(drivers, worker)()
    told = json.loads(body)
    assert (found, told["ready"]) == (status, status == 200)
    assert checks.items() <= told["checks"].items()
    assert (told["checks"]["isolation"], told["checks"]["plugins_kept_apart"]) == ("process_group", False)
