"""A worker's port for its operator: /metrics, /healthz, /readyz. Plain HTTP, reads only; off unless it is set."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from orchestrator.kernel.errors import ConflictError

log = logging.getLogger(__name__)
Page = Callable[[], tuple[HTTPStatus, str, bytes]]  # status, content type, body

_PATIENCE = 10.0  # seconds for a caller to say what it wants
_CALLERS = 32  # at once; each has a thread, and the process needs its files for runs


class AddressTakenError(ConflictError):
    """The address for metrics can't be listened on."""

    code = "address_taken"

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"Metrics can't be served at {address}: {reason}.",
            hint="Choose another ORCHESTRATOR_METRICS__ADDRESS; each worker of a machine needs its own.",
        )


class Probes:
    """The listener, in threads of its own."""

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        """Raises AddressTakenError. port: 0 for any."""
        try:
            self._server = _server(host, port, pages)
        except OSError as error:
            raise AddressTakenError(f"{host}:{port}", error.strerror or type(error).__name__) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="probes", daemon=True)

    @property
    def address(self) -> str:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


def document(status: HTTPStatus, content: Any) -> tuple[HTTPStatus, str, bytes]:
    """A JSON page."""
    return status, "application/json", json.dumps(content, indent=2).encode() + b"\n"


def kept(page: Page, *, seconds: float) -> Page:
    """The page, made once in so many seconds and by one caller at a time, however many ask: it costs the database."""
    lock = threading.Lock()
    last: list[tuple[float, tuple[HTTPStatus, str, bytes]]] = []

    def made() -> tuple[HTTPStatus, str, bytes]:
        with lock:
            if not last or monotonic() - last[0][0] > seconds:
                last[:] = [(monotonic(), page())]
            return last[0][1]

    return made


class _Server(ThreadingHTTPServer):
    """Bounded, whoever calls and however slowly."""

    daemon_threads = True
    request_queue_size = 128  # the library's 5 make callers who come together wait a second and more to be heard at all

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._lock = threading.Lock()
        self._callers: dict[Any, bool] = {}  # in the order they came, and whether they were hung up on
        super().__init__((host, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; where too many are here, whoever came first has had its time."""
        with self._lock:
            there = [caller for caller, gone in self._callers.items() if not gone]
            if len(there) >= _CALLERS:
                self._callers[there[0]] = True
                with suppress(OSError):
                    there[0].shutdown(socket.SHUT_RDWR)
            room = len(self._callers) < 2 * _CALLERS  # who was hung up on may still be in the middle of a page
            if room:
                self._callers[request] = False
        if room:
            super().process_request(request, client_address)
        else:
            super().shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """The end of one caller."""
        with self._lock:
            self._callers.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        """Nothing to do: it is theirs."""
        log.debug("A caller went away.")


def _server(host: str, port: int, pages: Mapping[str, Page]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE
        server_version, sys_version = "orchestrator", ""

        def do_GET(self) -> None:
            if not _meant(self.headers.get("Host"), server.socket.getsockname()[0]):
                self._answer(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", b"Ask for it by the address it is at.\n")
                return
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", "\n".join(pages).encode() + b"\n")
                return
            try:
                answer = page()
            except Exception:  # a page that can't be made must not end the listener, nor show why to strangers
                log.exception("%s could not be made.", self.path)
                answer = (HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"See the worker's log.\n")
            self._answer(*answer)

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's signature
            log.debug(format, *args)

    server = _Server(host, port, Handler)
    return server


def _meant(host: str | None, bound: str) -> bool:
    """Whether a request was meant for us: a page of a browser here may call this machine by a name of its own.

    That is so on loopback alone: elsewhere names are the operator's. host: what the caller asked for, by its header
    """
    if host is None or not ip_address(bound).is_loopback:
        return True
    with suppress(ValueError):
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    return False
