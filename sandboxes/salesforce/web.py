"""HTTP/1.1 over loopback with keep-alive, and the ways an answer can be spoilt on its way out."""

import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .errors import ApiError, SandboxError
from .faults import Fault
from .tls import Authority, is_salesforce

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MAX_URI = 16_384  # source: REST API guide, "URI and HTTP header limits": then 414
MAX_BODY = 64 * 1024 * 1024
SMALL = 2_048
SLICE = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. path is decoded and without the query; target is both, as sent."""

    method: str
    path: str
    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, or 400 JSON_PARSER_ERROR."""
        try:
            return json.loads(self.body or b"null")
        except ValueError as error:
            raise ApiError(400, "JSON_PARSER_ERROR", f"The HTTP entity body is not valid JSON: {error}") from error

    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def takes_gzip(self) -> bool:
        """Whether the client accepts gzip."""
        return "gzip" in self.headers.get("accept-encoding", "").lower()


@dataclass(slots=True, kw_only=True)
class Response:
    """One answer. rows: how many records it carries, for throttling; zipped: the body is gzip already."""

    status: int = 200
    body: bytes = b""
    type: str = "application/json;charset=UTF-8"
    headers: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    zipped: bool = False


def as_json(value: Any, status: int = 200, **headers: str) -> Response:
    """An answer in JSON."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return Response(status=status, body=body, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What happens to an answer on its way out. rows_per_second: 0 for no limit."""

    faults: Sequence[Fault] = ()
    rows_per_second: float = 0.0


Answer = Callable[[Request], tuple[Response, Trouble]]


class WebServer:
    """Serves `answer` on a loopback address until stopped; port 0 takes a free one."""

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        if host not in LOOPBACK:
            raise SandboxError(
                "The local org holds made-up data and open control endpoints, "
                f"so it listens on loopback only, not on {host}."
            )
        self.stopping = threading.Event()
        self.answer = answer
        self.authority = Authority()
        server = self

        class Handler(_Handler):
            org = server

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def server_bind(self) -> None:  # without HTTPServer's name look-up, which may ask a DNS server
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind(self.server_address)
                self.server_address = self.socket.getsockname()
                self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that went away is no news."""

        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        try:
            self._server = Server((host, port), Handler)
        except OSError as error:
            raise SandboxError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True, name="local-salesforce"
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop at once: open connections are closed, whatever they are doing."""
        self.stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        with self._connections_lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was faster
        self._server.server_close()

    def opened(self, connection: socket.socket) -> None:
        """A client came."""
        with self._connections_lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """A client left."""
        with self._connections_lock:
            self._connections.discard(connection)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, has it answered, writes the answer with its trouble."""

    org: WebServer
    protocol_version = "HTTP/1.1"
    server_version = "LocalSalesforce"
    sys_version = ""
    rbufsize = 65_536
    disable_nagle_algorithm = True
    timeout = 120

    def setup(self) -> None:
        super().setup()
        self.org.opened(self.connection)

    def finish(self) -> None:
        self.org.closed(self.connection)
        try:
            super().finish()
        except OSError:
            self.rfile.close()
        if self.connection is not self.request:  # a tunnel's own end
            self.connection.close()

    def do_CONNECT(self) -> None:
        """Be every host of Salesforce's to a client that takes this org for its proxy."""
        if not is_salesforce(self.path):
            self.close_connection = True
            self._send(as_json({"error": f"This org is no way to {self.path}."}, 403))
            return
        self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.close_connection = True
        self.org.closed(self.connection)
        self.rfile.close()
        try:
            self.connection = self.org.authority.context.wrap_socket(self.connection, server_side=True)
        except OSError:  # the client does not trust us, or has gone
            return
        self.org.opened(self.connection)
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.close_connection = False

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Nothing: /sandbox/stats tells what was asked."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            self._send(as_json([{"errorCode": "UNKNOWN_EXCEPTION", "message": "Send a Content-Length"}], 411))
            return
        body = self.rfile.read(length) if length else b""
        if len(self.path) > MAX_URI:
            self._send(Response(status=414, body=b"URI Too Long", type="text/plain"))
            return
        parts = urlsplit(self.path)
        request = Request(
            method=self.command, path=parts.path, target=self.path, body=body,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={k.lower(): v for k, v in self.headers.items()},
        )  # fmt: skip
        response, trouble = self.org.answer(request)
        zip_it = request.takes_gzip and not response.zipped and len(response.body) > SMALL
        if zip_it and response.type.startswith(("application/json", "text/csv")):
            response.body, response.zipped = gzip.compress(response.body, 1, mtime=0), True
        self._spoil(response, trouble)

    do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815 - http.server's names

    def _spoil(self, response: Response, trouble: Trouble) -> None:
        """Send the answer through its faults."""
        cut: float | None = None
        for fault in trouble.faults:
            if fault.kind == "stall":
                self._stall(fault)
            elif fault.kind == "reset":
                self._reset()
                return
            elif fault.kind == "cut_row":
                response.body = _cut_row(response, fault.fraction)
            elif fault.kind == "truncated_gzip":
                zipped = response.body if response.zipped else gzip.compress(response.body, 1, mtime=0)
                response.body, response.zipped = zipped[: int(len(zipped) * fault.fraction)], True
            elif fault.kind in {"reset_body", "stall_body"}:
                cut = fault.fraction
        breaks = next((f for f in trouble.faults if f.kind in {"reset_body", "stall_body"}), None)
        self._send(response, rate=trouble.rows_per_second, cut=cut, breaks=breaks)

    def _send(
        self, response: Response, *, rate: float = 0.0, cut: float | None = None, breaks: Fault | None = None
    ) -> None:
        reason = HTTPStatus(response.status).phrase
        date = response.headers.pop("Date", None) or self.date_time_string()
        lines = [f"HTTP/1.1 {response.status} {reason}", f"Date: {date}"]
        if response.status != HTTPStatus.NO_CONTENT:
            lines += [f"Content-Type: {response.type}", f"Content-Length: {len(response.body)}"]
        if response.zipped:
            lines.append("Content-Encoding: gzip")
        if self.close_connection:
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        body = b"" if self.command == "HEAD" else response.body
        if breaks is not None and cut is not None:
            self.connection.sendall(head + body[: int(len(body) * cut)])
            if breaks.kind == "reset_body":
                self._reset()
                return
            self._stall(breaks)
            head, body = b"", body[int(len(body) * cut) :]
        if rate and response.rows:
            self._trickle(head, body, response.rows / rate)
        else:
            self.connection.sendall(head + body if len(body) < SLICE else head)
            if len(body) >= SLICE:
                self.connection.sendall(body)

    def _stall(self, fault: Fault) -> None:
        """Nothing for its seconds, but no longer than it is in force."""
        until = time.monotonic() + fault.seconds
        while not fault.over and (left := until - time.monotonic()) > 0:
            if self.org.stopping.wait(min(left, 0.05)):
                return

    def _trickle(self, head: bytes, body: bytes, seconds: float) -> None:
        """The body in even steps over that many seconds."""
        self.connection.sendall(head)
        steps = max(int(seconds / 0.05), 1)
        size = len(body) // steps + 1
        for at in range(0, len(body), size):
            if self.org.stopping.wait(seconds / steps):
                self.close_connection = True
                return
            self.connection.sendall(body[at : at + size])

    def _reset(self) -> None:
        """End the connection by RST, not by FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.connection.close()


def _cut_row(response: Response, fraction: float) -> bytes:
    """The body up to the middle of the row at that fraction of it, in the same encoding."""
    text = gzip.decompress(response.body) if response.zipped else response.body
    line = text.rfind(b"\n", 0, max(int((len(text) - 1) * fraction), 1)) + 1
    end = text.find(b"\n", line)
    shorter = text[: line + max((end if end > 0 else len(text)) - line, 2) // 2]
    return gzip.compress(shorter, 1, mtime=0) if response.zipped else shorter
