"""An org that can't be reached is given up soon, by the words of whoever is in the way."""

import errno
import socket
import ssl
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from tap_salesforce import backoff, client
from tap_salesforce.backoff import Backoff
from tap_salesforce.errors import CertificateError, UnavailableError
from tap_salesforce.settings import read
from tap_salesforce.tap import Org
from tap_salesforce.unreached import unreached

WAIT = Backoff.wait  # before conftest makes it short


@pytest.fixture
def nowhere():
    """An address that nobody listens at."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def stranger(tmp_path):
    """A TLS server whose certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet():
            while True:
                try:
                    with context.wrap_socket(server.accept()[0], server_side=True):
                        pass
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        threading.Thread(target=greet, daemon=True).start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def at(configure, org, url, **changes):
    auth = {"auth_type": "session", "access_token": "x", "instance_url": url}
    return Org(read(configure(org, auth=auth, domain=url, **changes))).client


def test_an_org_that_refuses_from_the_beginning_is_not_waited_for_as_long_as_one_that_has_answered(
    configure, org, nowhere, monkeypatch
):
    slept = []
    clock = iter(range(1000))
    monkeypatch.setattr(Backoff, "wait", WAIT)
    monkeypatch.setattr(backoff.time, "monotonic", lambda: sum(slept) + next(clock) / 1000)
    asked = at(configure, org, nowhere, max_retries=20)
    object.__setattr__(asked.backoff, "sleep", slept.append)

    with pytest.raises(UnavailableError, match=r"can't be reached \(127\.0\.0\.1:\d+: Connection refused\)"):
        asked.json("GET", "limits")

    assert 5 < sum(slept) <= client.FIRST_CONTACT


def test_one_that_has_answered_is_tried_to_the_last(configure, org, monkeypatch):
    monkeypatch.setattr(client, "FIRST_CONTACT", 0)
    asked = Org(read(configure(org, max_retries=3))).client
    asked.json("GET", "limits")
    org.faults.add("reset", path="/limits", times=0)
    before = asked.requests_made

    with pytest.raises(UnavailableError, match="broke again and again"):
        asked.json("GET", "limits")

    assert asked.requests_made - before == 4


def test_a_certificate_that_is_not_trusted_is_not_tried_twice(configure, org, stranger):
    asked = at(configure, org, stranger)
    with pytest.raises(CertificateError, match=r"certificate verify failed \(self-signed certificate\)"):
        asked.json("GET", "limits")
    assert asked.requests_made == 1


def wrapped(cause):
    """As requests and urllib3 hand on what the system said."""
    inner = NewConnectionError(None, "Failed to establish a new connection")
    inner.__cause__ = cause
    return requests.ConnectionError(MaxRetryError(None, "/secret", inner))


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (wrapped(OSError(errno.EHOSTUNREACH, "whatever")), "No route to host"),
        (wrapped(OSError(errno.ENETUNREACH, "whatever")), "Network is unreachable"),
        (wrapped(socket.gaierror(socket.EAI_NONAME, "Name or service not known")), "Name or service not known"),
        (wrapped(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")), "Name or service"),
        (requests.exceptions.ConnectTimeout(MaxRetryError(None, "/secret")), "Connection timed out"),
        (requests.exceptions.ReadTimeout("read timeout=300"), "Read timed out"),
        (requests.ConnectionError(ReadTimeoutError(None, "/secret", "Read timed out.")), "Read timed out"),
        (requests.exceptions.ProxyError("407"), "Tunnel connection failed"),
        (requests.ConnectionError(ProtocolError("x", ConnectionResetError(errno.ECONNRESET, "x"))), "reset by peer"),
        (requests.exceptions.ChunkedEncodingError("x"), "ChunkedEncodingError"),
    ],
)
def test_it_is_said_in_the_systems_words_and_without_the_path(lost, said):
    problem = unreached("https://my.example.test/secret", lost, answered=False)
    assert said in str(problem)
    assert "secret" not in str(problem)
    assert problem.retryable
