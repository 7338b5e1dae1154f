import socket
import socketserver
import threading
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


def test_a_server_that_lets_us_in_and_never_answers_is_hung_up_on(monkeypatch):
    class Welcoming(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(8)  # asks for encryption
            self.request.sendall(b"N")
            self.request.recv(1024)
            self.request.sendall(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")  # signed in, ready for a query
            while self.request.recv(1024):
                pass

    monkeypatch.setattr(postgres_login, "_LONGEST", 0.3)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Welcoming) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        port = listening.server_address[1]
        login = Login(host="h.example", port=port, database="d", user="u", password=SecretStr("p"), tls="prefer")
        with pytest.raises(LoginRefusedError, match="closed"):
            check(login, address="127.0.0.1")
        listening.shutdown()
