import json
import socket
import stat

import pytest

from orchestrator.drivers.meltano.socket_server import serving, state_answers, token_answers
from orchestrator.kernel.errors import ConflictError


@pytest.fixture
def ask(tmp_path):
    """Serve callbacks, send raw lines, give the answers back."""

    def ask(answer, *lines, limit=1000, failed=lambda _: None):
        with serving(tmp_path / "x.sock", answer, limit=limit, failed=failed) as path:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                connection.sendall(b"".join(lines))
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
