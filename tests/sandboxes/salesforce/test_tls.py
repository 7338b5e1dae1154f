"""The org as Salesforce's hosts, for clients that know no other. (modules: tls, web, login)"""

import html
import ssl
from contextlib import closing, contextmanager, suppress
from http.client import HTTPSConnection
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

import pytest

from sandboxes.salesforce import OrgControl

LOGIN = """<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><n:login
 xmlns:n="urn:partner.soap.sforce.com"><n:username>{user}</n:username><n:password>{password}</n:password>
</n:login></e:Body></e:Envelope>"""


@contextmanager
def tunnel(org, host, *, trusting=True):
    authority = OrgControl(org.url).authority() if trusting else None
    at = urlsplit(org.url)
    context = ssl.create_default_context(cadata=authority)
    connection = HTTPSConnection(at.hostname, at.port, context=context, timeout=20)
    connection.set_tunnel(host, 443)
    with closing(connection):
        yield connection


def said(connection, method, path, body=None, headers=None):
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def asked(org, host, *request):
    with tunnel(org, host) as connection:
        return said(connection, *request)


@pytest.mark.parametrize("host", ["login.salesforce.com", "test.salesforce.com", "acme.my.salesforce.com"])
def test_the_org_is_every_host_of_salesforces(org, host):
    with tunnel(org, host) as connection:
        for _ in range(2):  # on one connection
            status, body = said(connection, "GET", "/services/data/")
            assert (status, body[:1]) == (200, b"[")


@pytest.mark.parametrize("host", ["example.com", "salesforce.com.example.com", "127.0.0.1"])
def test_a_tunnel_leads_nowhere_else(org, host):
    with pytest.raises(OSError, match="403"):
        asked(org, host, "GET", "/")


def test_who_does_not_trust_the_authority_does_not_get_in(org):
    with (
        tunnel(org, "login.salesforce.com", trusting=False) as connection,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        connection.connect()
    assert asked(org, "login.salesforce.com", "GET", "/services/data/")[0] == 200


def test_oauth_through_the_tunnel_leads_to_the_orgs_own_address(org, client):
    app = org.app
    form = {"client_id": app.client_id, "client_secret": app.client_secret, "refresh_token": app.refresh_token}
    sent = urlencode({"grant_type": "refresh_token", **form})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, body = asked(org, "login.salesforce.com", "POST", "/services/oauth2/token", sent, kind)
    assert status == 200
    assert f'"instance_url":"{org.url}"'.encode() in body


def test_soap_login_stays_behind_the_tunnel_and_its_session_works_there(org):
    envelope = LOGIN.format(user=org.app.username, password=html.escape(org.app.password + org.app.security_token))
    status, body = asked(org, "login.salesforce.com", "POST", "/services/Soap/u/59.0", envelope)
    assert status == 200
    found = {element.tag.partition("}")[2]: element.text for element in ET.fromstring(body).iter()}
    server = urlsplit(found["serverUrl"])
    assert server.scheme == "https"
    session = {"Authorization": f"Bearer {found['sessionId']}"}
    assert asked(org, server.hostname, "GET", "/services/data/v59.0/limits", None, session)[0] == 200


def test_faults_reach_through_the_tunnel(org, client):
    org.faults.add("status", path="/services/data/?$")
    assert asked(org, "login.salesforce.com", "GET", "/services/data/")[0] == 503
    org.faults.add("reset", path="/services/data/?$")
    with pytest.raises(OSError, match=r"(?i)reset|closed|EOF"):
        asked(org, "login.salesforce.com", "GET", "/services/data/")


def test_an_org_that_stops_ends_its_tunnels(fresh):
    own = fresh().org
    with tunnel(own, "login.salesforce.com") as connection:
        connection.connect()
        own.stop()
        connection.sock.settimeout(5)
        with suppress(ssl.SSLError, ConnectionError):  # either way of ending is one; TimeoutError is not
            assert connection.sock.recv(1) == b""
