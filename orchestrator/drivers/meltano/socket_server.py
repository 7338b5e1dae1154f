"""The run's unix sockets: questions of Meltano and of plugins, answered by callbacks.

A socket's address is PATH#NONCE. The nonce is random, known to the one program that is given the address, and the
first line anybody must say, at once: the path alone, which is in the run's directory for both plugins, opens nothing.
Then it is one line of JSON per request and answer, at most as long as the server's limit. Whoever is none of the run's
processes is hung up on unheard, where the kernel says who calls: other runs' plugins may know the path, and would take
every connection there is by saying nothing.

A thread per connection, so callbacks must be safe to call from another thread than the run's. Whatever comes in, the
answer is a line: a callback's foreseen failure is {"error": {"code", "message"}}, and anything else is too, without
its text.
"""

import hmac
import json
import secrets
import select
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from orchestrator.kernel.errors import OrchestratorError

Answer = Callable[[dict[str, Any]], dict[str, Any]]
IsOurs = Callable[[int], bool]
STATE_LIMIT: Final = 64 * 1024 * 1024
TOKEN_LIMIT: Final = 64 * 1024
_TIMEOUT = 30.0  # seconds for a peer to send its line
_NONCE_TIMEOUT = 2.0  # seconds for the first line; who knows it says it as soon as it is connected
_NONCE_BYTES = 16
_AGAIN = 0.05  # seconds between tries to take a connection while too many files are open
_CONNECTIONS = 64  # at once; each has a thread
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid; source: man 7 unix, SO_PEERCRED


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = _CONNECTIONS

    def __init__(
        self, path: Path, answer: Answer, limit: int, failed: Callable[[BaseException], None], is_ours: IsOurs
    ) -> None:
        self.nonce = secrets.token_hex(_NONCE_BYTES)
        self.answer = answer
        self.limit = limit
        self.failed = failed
        self._is_ours = is_ours
        self._free = threading.Semaphore(_CONNECTIONS)
        super().__init__(str(path), _Connection)
        path.chmod(0o600)

    def serve_until(self, over: socket.socket) -> None:
        """Answer until `over` can be read: no sooner and no later, and nobody wakes up meanwhile to look."""
        ready = select.poll()  # which needs no file of its own: there may be none left
        ready.register(self, select.POLLIN)
        ready.register(over, select.POLLIN)
        while over.fileno() not in dict(ready.poll()):
            self._handle_request_noblock()  # type: ignore[attr-defined]  # what serve_forever() does then

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection; where none can be taken, which leaves it waiting, not at once again."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(_AGAIN)
            raise

    def verify_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> bool:
        """Whether a process of the run calls; true where the kernel doesn't tell."""
        del client_address
        if not isinstance(request, socket.socket) or not hasattr(socket, "SO_PEERCRED"):
            return True
        pid, _, _ = _CREDENTIALS.unpack(request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return self._is_ours(pid)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Answer in a thread; hang up where too many wait already."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._free.release()
            raise

    def process_request_thread(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """The thread of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


class _Connection(socketserver.StreamRequestHandler):
    server: _Server
    timeout = _TIMEOUT

    def handle(self) -> None:
        """Answer lines until the peer closes."""
        try:
            if not self._is_known():
                self._say(_error("not_allowed", "the first line must be the nonce"))
                return
            while line := self.rfile.readline(self.server.limit + 1):
                self._say(self._answer(line))
                if not line.endswith(b"\n"):
                    return
        except OSError:
            return  # the peer went away or said nothing for too long

    def _is_known(self) -> bool:
        expected = self.server.nonce.encode() + b"\n"
        self.request.settimeout(_NONCE_TIMEOUT)
        said = self.rfile.readline(len(expected))
        self.request.settimeout(self.timeout)
        return hmac.compare_digest(said, expected)

    def _say(self, answer: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(answer).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        if len(line) > self.server.limit:
            return _error("too_large", f"a request is at most {self.server.limit} bytes")
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return _error("bad_request", "not a line of JSON")
        if not isinstance(request, dict):
            return _error("bad_request", "not a JSON object")
        try:
            return self.server.answer(request)
        except OrchestratorError as error:
            self.server.failed(error)
            return _error(error.code, error.message)
        except Exception as error:  # noqa: BLE001 - the peer gets an answer whatever happened; the run gets the error
            self.server.failed(error)
            return _error("internal", "the orchestrator failed to answer")


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


@contextmanager
def serving(
    path: Path,
    answer: Answer,
    *,
    limit: int,
    failed: Callable[[BaseException], None] = lambda _: None,
    is_ours: IsOurs = lambda _: True,
) -> Iterator[str]:
    """Answer on a socket at path (0600) for the length of the block; yields its address.

    failed:   told of every exception a callback raised, in the connection's thread
    is_ours:  whether the process of this id may ask
    """
    end, over = socket.socketpair()
    with end, over, _Server(path, answer, limit, failed, is_ours) as server:
        thread = threading.Thread(target=server.serve_until, args=(over,), name=path.name, daemon=True)
        thread.start()
        try:
            yield f"{path}#{server.nonce}"
        finally:
            end.shutdown(socket.SHUT_WR)  # closing it says nothing as long as a process holds it that was forked
            thread.join()
            path.unlink(missing_ok=True)


def state_answers(load: Callable[[str], dict[str, Any] | None], save: Callable[[str, dict[str, Any]], None]) -> Answer:
    """The state protocol over two callbacks.

    load:  state_id → {"completed": …, "partial": …} or None
    save:  takes state_id and the same shape; returns once it is committed, raises to refuse
    """

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"op": "get", "state_id": str(state_id)}:
                return {"state": load(state_id)}
            case {"op": "set", "state_id": str(state_id), "state": dict(state)}:
                save(state_id, state)
                return {"ok": True}
            case _:
                return _error("bad_request", "op must be get or set")

    return answer


def token_answers(fresh: Callable[[str], dict[str, str]]) -> Answer:
    """The token protocol over one callback.

    fresh:  SHA-256 (hex) of the refused token → {"access_token": …, "instance_url": …}
    """

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"rejected_sha256": str(digest)}:
                return dict(fresh(digest))
            case _:
                return _error("bad_request", "rejected_sha256 is missing")

    return answer
