import resource
import socket
import socketserver
import threading
import time
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest
from pydantic import SecretStr

from orchestrator.drivers import postgres_login
from orchestrator.drivers.postgres_login import Login, LoginRefusedError, check
from tests.fixtures.drivers import over_tcp


@pytest.fixture
def login(server):
    with over_tcp(server) as port:
        yield Login(
            host="db.acme.example",
            port=port,
            database="postgres",
            user=server.user,
            password=server.password,
            tls="prefer",
        )


def test_a_login_that_may_load_is_let_in_at_the_address_that_was_judged(login):
    check(login, address="127.0.0.1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"database": "nowhere"}, "does not exist", id="no such database"),
        pytest.param({"user": "nobody"}, "nobody", id="no such user"),
        pytest.param({"tls": "require"}, "SSL", id="no encryption where it is asked for"),
    ],
)
def test_the_server_says_why_it_refuses(login, change, said):
    with pytest.raises(LoginRefusedError) as caught:
        check(replace(login, **change), address="127.0.0.1")
    assert said in caught.value.message
    assert caught.value.exit_code == 7
    assert login.password.get_secret_value() not in f"{caught.value!r}{caught.value.hint}{caught.value.__cause__}"


def test_a_login_that_may_not_make_schemas_is_told_what_it_needs(login, server):
    plain = server.password.get_secret_value()
    dsn = {"host": server.host, "port": server.port, "user": server.user, "password": plain, "dbname": "postgres"}
    with psycopg.connect(**dsn, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS reader")
        admin.execute(psycopg.sql.SQL("CREATE ROLE reader LOGIN PASSWORD {}").format(plain))
        admin.execute("GRANT CONNECT ON DATABASE postgres TO reader")
    with pytest.raises(LoginRefusedError, match="reader may not create schemas in postgres") as caught:
        check(replace(login, user="reader"), address="127.0.0.1")
    assert caught.value.hint == "Let it: GRANT CREATE ON DATABASE postgres TO reader."
    with psycopg.connect(**dsn, autocommit=True) as admin:
        admin.execute("DROP OWNED BY reader")
        admin.execute("DROP ROLE reader")


def test_whoever_is_no_postgres_is_named_as_such():
    class Silent(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1024)
            self.request.shutdown(socket.SHUT_RDWR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silent) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        password = "secret-canary"
        login = Login(
            host="h.example",
            port=listening.server_address[1],
            database="d",
            user="u",
            password=SecretStr(password),
            tls="prefer",
        )
        with pytest.raises(LoginRefusedError) as caught:
            check(login, address="127.0.0.1")
        listening.shutdown()
    assert password not in caught.value.message


def welcoming(answer):
    """A server that lets us in, and answers a query with this, once or for ever."""

    class Welcoming(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(8)  # asks for encryption
            self.request.sendall(b"N")
            self.request.recv(1024)
            self.request.sendall(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")  # signed in, ready for a query
            with suppress(OSError):
                while self.request.recv(1024):
                    self.request.sendall(ONE_COLUMN if answer else b"")
                    while answer:
                        self.request.sendall(answer)

    return Welcoming


class Server(socketserver.ThreadingTCPServer):
    """Its handlers may go on to send for a while to one who has gone."""

    daemon_threads = True
    block_on_close = False


ONE_COLUMN = b"T\0\0\0\x1a\0\x01x\0" + b"\0" * 9 + b"\x10\0\x01\xff\xff\xff\xff\0\0"
ROW = b"D\0\0\x04\x0a\0\x01\0\0\x04\0" + b"t" * 1024
NOTICE = b"N\0\0\x04\x0bM" + b"x" * 1028 + b"\0\0"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(ROW * 64, id="rows for ever"),
        pytest.param(NOTICE * 64, id="notices for ever"),
        pytest.param(b"D\x7f\xff\xff\xf0\0\x01\x7f\xff\xff\xea" + b"t" * 65536, id="one row for ever"),
    ],
)
def test_a_server_that_lets_us_in_and_never_comes_to_an_end_is_hung_up_on(monkeypatch, answer):
    monkeypatch.setattr(postgres_login, "_LONGEST", 120 if answer else 0.3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Server(("127.0.0.1", 0), welcoming(answer)) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        port = listening.server_address[1]
        login = Login(host="h.example", port=port, database="d", user="u", password=SecretStr("p"), tls="prefer")
        began = time.monotonic()
        with pytest.raises(LoginRefusedError):
            check(login, address="127.0.0.1")
        listening.shutdown()
    assert time.monotonic() - began < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024, "kB: more than it may send"
