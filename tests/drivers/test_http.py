import contextlib
import datetime as dt
import errno
import gzip
import json
import logging
import socket
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from urllib3.connection import HTTPConnection

from orchestrator.drivers.addresses import AddressNotAllowedError
from orchestrator.drivers.http import Http, UnreachableError, UnreadableAnswerError, UnsendableError

LOCAL = Http(allow_private=True)


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.answer(
            json.dumps(
                {"path": self.path, "headers": dict(self.headers), "body": self.rfile.read(length).decode()}
            ).encode()
        )

    do_GET = do_POST  # noqa: N815 - http.server's naming

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


@contextlib.contextmanager
def serving(handler, context=None):
    class Server(ThreadingHTTPServer):
        daemon_threads = True
        asked = 0

        def get_request(self):
            self.asked += 1
            return super().get_request()

        def handle_error(self, *_args):
            pass

    server = Server(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def raw_server(*sends, then=None):
    """A server that sends these bytes to whoever comes, then waits for `then`, then closes."""
    done = then or threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65536)
            with contextlib.suppress(OSError):
                for part in sends:
                    self.request.sendall(part)
                if then is not None:
                    done.wait(20)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        done.set()
        server.shutdown()
        server.server_close()
        thread.join()


def url_of(server, host="127.0.0.1", scheme="http"):
    return f"{scheme}://{host}:{server.server_address[1]}"


@pytest.fixture(scope="module")
def echo():
    with serving(Echo) as server:
        yield server


def test_a_form_arrives_as_a_form(echo):
    seen = LOCAL.request("POST", f"{url_of(echo)}/token?x=1", fields={"a": "1 &", "b": "ä"}).json()
    assert seen["path"] == "/token?x=1"
    assert seen["body"] == "a=1+%26&b=%C3%A4"
    assert seen["headers"]["content-type"] == "application/x-www-form-urlencoded"
    assert seen["headers"]["accept-encoding"] == "identity"


def test_json_and_bytes_arrive_as_they_are(echo):
    assert LOCAL.request("POST", url_of(echo), json={"a": [1, "ä"]}).json()["body"] == '{"a": [1, "\\u00e4"]}'
    sent = LOCAL.request("POST", url_of(echo), body=b"raw", headers={"Content-Type": "text/plain"}).json()
    assert (sent["body"], sent["headers"]["content-type"]) == ("raw", "text/plain")


def test_headers_arrive_and_the_host_cannot_be_changed(echo):
    seen = LOCAL.request("GET", url_of(echo), headers={"Authorization": "Bearer t", "HOST": "evil"}).json()["headers"]
    assert seen["authorization"] == "Bearer t"
    assert [value for name, value in seen.items() if name.lower() == "host"] == [url_of(echo).removeprefix("http://")]


@pytest.mark.parametrize("value", ["a\r\nX: b", "a\nb", "\x00", "ä", "a\x7f"])
def test_a_header_that_would_become_two_is_refused_without_showing_it(echo, value):
    with pytest.raises(UnsendableError) as caught:
        LOCAL.request("GET", url_of(echo), headers={"X-Secret": f"canary{value}"})
    assert "X-Secret" in caught.value.message
    assert "canary" not in f"{caught.value!r}{caught.value.facts}"
    with pytest.raises(UnsendableError):
        LOCAL.request("GET", url_of(echo), headers={"a b": "c"})


def test_an_error_status_is_an_answer(echo):
    class Refusing(Echo):
        def do_GET(self):
            self.answer(b"slow down", 429, Retry_After="7")

    with serving(Refusing) as server:
        response = LOCAL.request("GET", url_of(server))
    assert (response.status, response.headers["retry-after"], response.body) == (429, "7", b"slow down")


def test_redirects_are_not_followed(echo):
    class Elsewhere(Echo):
        def do_GET(self):
            self.answer(b"", 302, Location=url_of(echo))

    with serving(Elsewhere) as server:
        before = echo.asked
        assert LOCAL.request("GET", url_of(server)).status == 302
        assert echo.asked == before


def test_proxies_of_the_environment_are_not_used(echo, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert LOCAL.request("GET", url_of(echo)).status == 200


def test_cookies_are_forgotten(echo):
    class Sticky(Echo):
        def do_GET(self):
            self.answer(str(self.headers.get("Cookie")).encode(), Set_Cookie="a=b")

    with serving(Sticky) as server:
        assert [LOCAL.request("GET", url_of(server)).body for _ in range(2)] == [b"None", b"None"]


def test_a_body_is_cut_at_its_limit_and_says_so():
    class Talkative(Echo):
        def do_GET(self):
            self.answer(b"x" * 100_000)

    with serving(Talkative) as server:
        cut = LOCAL.request("GET", url_of(server), max_body=70_000)
        whole = LOCAL.request("GET", url_of(server), max_body=100_000)
    assert (len(cut.body), cut.truncated) == (70_000, True)
    assert (len(whole.body), whole.truncated) == (100_000, False)
    with pytest.raises(UnreadableAnswerError, match="longer than 70000 bytes"):
        cut.json()


def test_a_compressed_body_is_not_inflated():
    bomb = gzip.compress(b"0" * 10_000_000)

    class Bomb(Echo):
        def do_GET(self):
            self.answer(bomb, Content_Encoding="gzip")

    with serving(Bomb) as server:
        assert LOCAL.request("GET", url_of(server)).body == bomb


@pytest.mark.parametrize("body", [b"<html>canary</html>", b"", b"[" * 60_000, b"\xff"])
def test_what_is_not_json_is_named_and_not_shown(body):
    class Handler(Echo):
        def do_GET(self):
            self.answer(body)

    with serving(Handler) as server, pytest.raises(UnreadableAnswerError, match="not JSON") as caught:
        LOCAL.request("GET", url_of(server)).json()
    assert "canary" not in str(caught.value)


def resolver(*found):
    return lambda _host, _port: list(found)


def test_a_name_is_resolved_once_and_that_address_is_dialled(echo):
    asked = []

    def once(host, port):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    seen = Http(allow_private=True, resolve=once).request("GET", url_of(echo, "rebinding.example")).json()
    assert seen["headers"]["host"].startswith("rebinding.example:")
    assert asked == ["rebinding.example"]


@pytest.mark.parametrize("found", [["8.8.8.8", "10.0.0.1"], ["10.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"]])
def test_one_bad_address_among_good_ones_refuses_the_name(found):
    with pytest.raises(AddressNotAllowedError):
        Http(allow_private=False, resolve=resolver(*found)).request("GET", "https://mixed.example/")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "localhost", "127.0.0.1."]
)
def test_no_spelling_of_loopback_gets_through(echo, host):
    before = echo.asked
    with pytest.raises((AddressNotAllowedError, UnreachableError)):
        Http(allow_private=False).request("GET", url_of(echo, host))
    with pytest.raises((AddressNotAllowedError, UnreachableError)):
        Http(allow_private=False).tcp_reach(host, echo.server_address[1])
    assert echo.asked == before


def test_a_host_that_another_program_will_call_is_judged_by_all_its_addresses():
    assert (
        Http(allow_private=False, resolve=resolver("8.8.8.8", "1.1.1.1")).judge_host("DB.example.", 5432) == "8.8.8.8"
    )
    assert Http(allow_private=True, resolve=resolver("10.0.0.1")).judge_host("db.example", 5432) == "10.0.0.1"
    for found in (["8.8.8.8", "10.0.0.1"], ["169.254.169.254"], ["::ffff:127.0.0.1"]):
        with pytest.raises(AddressNotAllowedError, match=r"db\.example:5432"):
            Http(allow_private=False, resolve=resolver(*found)).judge_host("db.example", 5432)
    with pytest.raises(AddressNotAllowedError, match="reserved"):
        Http(allow_private=True, resolve=resolver("169.254.169.254")).judge_host("db.example", 5432)
    with pytest.raises(AddressNotAllowedError, match="no port"):
        Http(allow_private=True, resolve=resolver("8.8.8.8")).judge_host("db.example", 0)


@pytest.mark.parametrize("found", [["8.8.8.8"], ["127.0.0.1", "8.8.8.8"]])
def test_plain_http_is_only_for_private_addresses(found):
    with pytest.raises(AddressNotAllowedError, match="isn't https"):
        Http(allow_private=True, resolve=resolver(*found)).request("GET", "http://public.example:8080/")


@pytest.mark.parametrize("port", [22, 25, 80, 587, 993])
def test_public_ports_of_other_servers_are_not_called(port):
    with pytest.raises(AddressNotAllowedError, match="not for https"):
        Http(allow_private=False, resolve=resolver("8.8.8.8")).request("GET", f"https://public.example:{port}/")


def test_a_host_outside_the_allowed_ones_is_not_called(echo):
    client = Http(allow_private=True, resolve=resolver("10.0.0.1"))
    with pytest.raises(AddressNotAllowedError, match=r"doesn't belong to salesforce\.com"):
        client.request("GET", "https://evil.example/", allowed_hosts=("salesforce.com",))
    assert LOCAL.request("GET", url_of(echo), allowed_hosts=("salesforce.com",)).status == 200


def test_the_next_address_is_tried_where_the_first_refuses(echo):
    client = Http(allow_private=True, resolve=resolver("::1", "127.0.0.1"))
    assert client.request("GET", url_of(echo, "two.example")).status == 200
    client.tcp_reach("two.example", echo.server_address[1])


@pytest.fixture
def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def failure(client, url, **more):
    with pytest.raises(UnreachableError) as caught:
        client.request("POST", f"{url}/path-canary?q=query-canary", fields={"secret": "body-canary"}, **more)
    error = caught.value
    assert "canary" not in f"{error!r}{error.message}{error.hint}{error.facts}{error.__cause__}"
    return error.reason, error.temporary, error.sent


def test_a_closed_port_refuses(closed_port):
    assert failure(LOCAL, f"http://127.0.0.1:{closed_port}") == ("refused", True, False)
    with pytest.raises(UnreachableError) as caught:
        LOCAL.tcp_reach("127.0.0.1", closed_port)
    assert caught.value.reason == "refused"
    assert f"127.0.0.1:{closed_port}" in caught.value.message


def raising(error):
    def resolve(_host, _port):
        raise error

    return resolve


@pytest.mark.parametrize(
    ("resolve", "temporary"),
    [
        (raising(socket.gaierror(socket.EAI_NONAME, "unknown")), False),
        (raising(socket.gaierror(socket.EAI_AGAIN, "busy")), True),
        (raising(UnicodeError("label too long")), False),
        (resolver(), False),
    ],
)
def test_a_name_that_does_not_resolve(resolve, temporary):
    assert failure(Http(allow_private=True, resolve=resolve), "https://no.example") == ("dns", temporary, False)


def test_a_resolver_that_hangs_does_not_hold_us():
    release = threading.Event()

    def hang(_host, _port):
        release.wait(120)
        return ["127.0.0.1"]

    try:
        assert failure(Http(allow_private=True, resolve=hang), "http://slow.example:1", timeout=0.05) == (
            "dns",
            True,
            False,
        )
    finally:
        release.set()


def test_silence_is_ended_by_the_deadline():
    with raw_server(then=threading.Event()) as url:
        assert failure(LOCAL, url, timeout=1.0) == ("timeout", True, True)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
def test_a_slow_drip_is_ended_by_the_deadline(start):
    """Each byte comes well within any socket timeout; only the total ends it."""
    stop = threading.Event()

    class Drip(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65536)
            with contextlib.suppress(OSError):
                self.request.sendall(start)
                while not stop.wait(0.02):
                    self.request.sendall(b"x")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            assert failure(LOCAL, url_of(server), timeout=1.0) == ("timeout", True, True)
        finally:
            stop.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "reset"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "reset"),
        (b"SSH-2.0-OpenSSH_9.6 canary\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "protocol"),
    ],
)
def test_an_answer_cut_short_or_in_another_language(sent, reason):
    with raw_server(sent) as url:
        assert failure(LOCAL, url) == (reason, reason == "reset", True)


def test_odd_headers_leave_nothing_of_the_url_in_the_log(caplog):
    with (
        raw_server(b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 0\r\n\r\n") as url,
        caplog.at_level(logging.DEBUG),
    ):
        LOCAL.request("GET", f"{url}/path-canary")
    assert "canary" not in caplog.text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for login.example.test that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "login.example.test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("login.example.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "pair.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate):
    """A TLS server, the names it was asked for, and a client context that trusts it."""
    names = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    trust = ssl.create_default_context(cafile=str(certificate))
    with serving(Echo, context) as server:
        yield server, names, trust


def test_tls_and_the_host_header_keep_the_name_while_the_judged_address_is_dialled(tls):
    server, names, trust = tls
    client = Http(allow_private=True, resolve=resolver("127.0.0.1"), trust=trust)
    for _ in range(2):  # a shared trust is not weakened by its use
        seen = client.request("GET", url_of(server, "login.example.test", "https")).json()
        assert seen["headers"]["host"].startswith("login.example.test:")
    assert names == ["login.example.test"] * 2
    assert trust.check_hostname


def test_a_certificate_for_another_name_is_refused(tls):
    server, _, trust = tls
    client = Http(allow_private=True, resolve=resolver("127.0.0.1"), trust=trust)
    assert failure(client, url_of(server, "other.example.test", "https")) == ("tls", False, False)


def test_a_certificate_nobody_vouches_for_is_refused(tls):
    server, _, _ = tls
    client = Http(allow_private=True, resolve=resolver("127.0.0.1"))
    assert failure(client, url_of(server, "login.example.test", "https")) == ("tls", False, False)


def test_a_server_without_tls_is_told_from_one_that_is_away(echo):
    assert failure(LOCAL, url_of(echo, scheme="https")) == ("tls", False, False)


def test_a_handshake_that_never_ends_is_ended():
    with raw_server(then=threading.Event()) as url:
        assert failure(LOCAL, url.replace("http:", "https:"), timeout=1.0) == ("timeout", True, False)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "timeout"),
        (ConnectionRefusedError(), "refused"),
        (ConnectionResetError(), "reset"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "unreachable"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "unreachable"),
    ],
)
def test_what_the_system_says_while_connecting_becomes_a_reason(monkeypatch, error, reason):
    def refuse(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert failure(Http(allow_private=True, resolve=resolver("127.0.0.1")), "https://some.example") == (
        reason,
        True,
        False,
    )
    with pytest.raises(UnreachableError) as caught:
        LOCAL.tcp_reach("127.0.0.1", 1)
    assert caught.value.reason == reason


def test_an_interruption_closes_the_connection(echo, monkeypatch):
    closed = []

    class Interrupted(HTTPConnection):
        def getresponse(self):
            raise KeyboardInterrupt

        def close(self):
            closed.append(self)
            super().close()

    monkeypatch.setattr("urllib3.connection.HTTPConnection", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        LOCAL.request("GET", url_of(echo))
    assert closed


def test_nothing_is_left_running_after_a_request(echo):
    before = set(threading.enumerate())
    LOCAL.request("GET", url_of(echo))
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive()


def test_reach_says_what_is_wrong_with_the_address(echo):
    LOCAL.tcp_reach("127.0.0.1", echo.server_address[1])
    with pytest.raises(AddressNotAllowedError, match="no port"):
        LOCAL.tcp_reach("127.0.0.1", 0)
    with pytest.raises(AddressNotAllowedError, match="no host name"):
        LOCAL.tcp_reach("a b", 1)
    with pytest.raises(AddressNotAllowedError, match="no internet address"):
        LOCAL.tcp_reach("1:2", 1)
    with pytest.raises(AddressNotAllowedError, match="is private"):
        Http(allow_private=False, resolve=resolver("192.168.1.1")).tcp_reach("db.example", 5432)
