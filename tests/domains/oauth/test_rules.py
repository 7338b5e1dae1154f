import base64
import datetime as dt
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from orchestrator.domains.oauth import rules
from orchestrator.domains.oauth.errors import (
    GrantIncompleteError,
    InvalidPrivateKeyError,
    ReauthNeededError,
    TokenEndpointBusyError,
    UntrustedInstanceError,
)
from orchestrator.domains.oauth.types import GrantKind, TokenGrant
from orchestrator.drivers.http import Response, UnreadableAnswerError

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
URL = "https://login.salesforce.com/services/oauth2/token"
HOSTS = ("salesforce.com", "force.com")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key, encryption=None):
    return SecretStr(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()).decode())


def grant(kind=GrantKind.REFRESH_TOKEN, **values):
    held = {
        "client_id": "id-1",
        "client_secret": SecretStr("canary-secret"),
        "refresh_token": SecretStr("canary-refresh"),
    }
    return TokenGrant(kind=kind, url=values.pop("url", URL), hosts=HOSTS, **(held | values))


def response(status=200, body=None, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(where="login.salesforce.com:443", status=status, headers=named, body=raw)


def answered(status=200, body=None, of=None, **headers):
    of = of or grant()
    return rules.answer(of, rules.request(of, NOW), response(status, body, **headers), NOW)


def test_a_refresh_sends_the_refresh_token_and_the_client():
    assert rules.request(grant(), NOW).fields == {
        "grant_type": "refresh_token",
        "client_id": "id-1",
        "client_secret": "canary-secret",
        "refresh_token": "canary-refresh",
    }
    assert "client_secret" not in rules.request(grant(client_secret=None), NOW).fields


def test_client_credentials_send_the_client_alone():
    assert rules.request(grant(GrantKind.CLIENT_CREDENTIALS), NOW).fields == {
        "grant_type": "client_credentials",
        "client_id": "id-1",
        "client_secret": "canary-secret",
    }


@pytest.mark.parametrize(("token", "sent"), [(None, "canary-pass"), (SecretStr("TOKEN"), "canary-passTOKEN")])
def test_the_security_token_follows_the_password(token, sent):
    asked = grant(GrantKind.PASSWORD, username="u", password=SecretStr("canary-pass"), security_token=token)
    fields = rules.request(asked, NOW).fields
    assert (fields["grant_type"], fields["username"], fields["password"]) == ("password", "u", sent)


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize(
    ("url", "audience", "expected"),
    [
        (URL, None, "https://login.salesforce.com"),
        (URL, "https://test.salesforce.com", "https://test.salesforce.com"),
        ("http://127.0.0.1:9001/services/oauth2/token", None, "http://127.0.0.1:9001"),
    ],
)
def test_a_jwt_is_signed_for_three_minutes_and_one_audience(url, audience, expected):
    asked = grant(GrantKind.JWT_BEARER, url=url, username="u@x", private_key=pem(KEY), audience=audience)
    fields = rules.request(asked, NOW).fields
    assert fields["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, body, signature = fields["assertion"].split(".")
    KEY.public_key().verify(unbase64(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), SHA256())
    claims = json.loads(unbase64(body))
    assert json.loads(unbase64(head)) == {"alg": "RS256", "typ": "JWT"}
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("id-1", "u@x", expected)
    assert claims["exp"] == NOW.timestamp() + 180
    assert rules.request(asked, NOW).fields["assertion"] != fields["assertion"]


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (SecretStr("canary-not-a-key"), "no private key in PEM form"),
        (SecretStr("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----"), "no private key in PEM form"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
        (pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "only 1024 bits"),
        (pem(KEY, BestAvailableEncryption(b"x")), "passphrase"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_without_showing_it(key, problem):
    with pytest.raises(InvalidPrivateKeyError, match=problem) as caught:
        rules.request(grant(GrantKind.JWT_BEARER, username="u", private_key=key), NOW)
    assert "canary" not in f"{caught.value!r}{caught.value.facts}"


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        (GrantKind.REFRESH_TOKEN, ("client_id", "refresh_token")),
        (GrantKind.CLIENT_CREDENTIALS, ("client_id", "client_secret")),
        (GrantKind.JWT_BEARER, ("client_id", "username", "private_key")),
        (GrantKind.PASSWORD, ("client_id", "client_secret", "username", "password")),
    ],
)
def test_everything_missing_is_named_at_once(kind, missing):
    with pytest.raises(GrantIncompleteError) as caught:
        rules.request(TokenGrant(kind=kind, url=URL), NOW)
    assert [path for path, _ in caught.value.problems] == [f"auth.{name}" for name in missing]


def test_nothing_of_a_request_or_grant_is_printed():
    assert "canary" not in repr(grant())
    assert "canary" not in repr(rules.request(grant(), NOW))


def test_an_answer_gives_token_instance_life_and_scopes():
    body = {
        "access_token": "canary-at",
        "instance_url": "https://x.my.salesforce.com",
        "scope": "api id",
        "refresh_token": "r2",
    }
    answer = answered(body=body)
    assert answer.access_token.get_secret_value() == "canary-at"
    assert answer.refresh_token.get_secret_value() == "r2"
    assert (answer.instance, answer.scopes, answer.life) == (
        "https://x.my.salesforce.com",
        ("api", "id"),
        timedelta(minutes=30),
    )
    assert "canary" not in repr(answer)


@pytest.mark.parametrize(
    ("given", "life"),
    [
        (3600, 3600),
        ("7200", 7200),
        (None, 1800),
        (0, 1800),
        (-5, 1800),
        ("soon", 1800),
        ([], 1800),
        (10**30, 315360000),
    ],
)
def test_a_life_that_makes_no_sense_is_taken_as_unknown(given, life):
    assert answered(body={"access_token": "t", "expires_in": given}).life == timedelta(seconds=life)


@pytest.mark.parametrize(
    ("life", "used"),
    [(timedelta(minutes=30), timedelta(minutes=24)), (timedelta(hours=2), timedelta(minutes=105)), (timedelta(0),) * 2],
)
def test_a_token_is_renewed_before_it_ends(life, used):
    assert rules.renew_after(life) == used


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {}),
        (200, {"access_token": ""}),
        (200, {"access_token": 5}),
        (200, {"access_token": "a\r\nb"}),
        (200, {"access_token": "x" * 20_000}),
        (200, []),
        (200, b"<html>"),
        (302, b""),
        (404, b"<html>"),
    ],
)
def test_an_answer_without_a_token_is_unreadable(status, body):
    with pytest.raises(UnreadableAnswerError):
        answered(status, body)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"error": "invalid_grant", "error_description": "expired access/refresh token"}, "invalid_grant: expired access/refresh token"),
        (400, {"error": "invalid_client_id", "error_description": "client identifier invalid."}, "invalid_client_id: client identifier invalid"),
        (401, {"error": "invalid_client"}, "invalid_client"),
        (200, {"error": "inactive_user"}, "inactive_user"),
        (403, {}, "HTTP status 403"),
        (400, {"error": 5}, "HTTP status 400"),
        (400, {"error": "e", "error_description": "canary-refresh and canary-secret\x1b[31m\n"}, "e: *** and *** [31m"),
        (400, {"error": "e" * 1000}, "e" * 200),
    ],
)  # fmt: skip
def test_a_refusal_gives_the_providers_reason_without_our_secrets(status, body, reason):
    with pytest.raises(ReauthNeededError) as caught:
        answered(status, body)
    assert caught.value.reason == reason
    assert reason in caught.value.message
    assert caught.value.exit_code == 8


def test_a_secret_too_short_to_hide_takes_no_letters_out_of_words():
    of = grant(client_secret=SecretStr("a"))
    with pytest.raises(ReauthNeededError, match="invalid_grant"):
        answered(400, {"error": "invalid_grant"}, of)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b""),
        (500, b"<html>"),
        (503, {"error": "invalid_grant"}),
        (400, {"error": "unknown_error", "error_description": "retry your request"}),
        (400, {"error": "invalid_grant", "error_description": "Login Rate Exceeded"}),
        (400, {"error": "invalid_grant", "error_description": "token request is already being processed"}),
        (400, {"error": "temporarily_unavailable"}),
    ],
)
def test_what_passes_by_itself_is_no_refusal(status, body):
    with pytest.raises(TokenEndpointBusyError) as caught:
        answered(status, body)
    assert caught.value.exit_code == 75
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("7", 7),
        ("0", 1),
        ("999999", 3600),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60),
        ("Fri, 02 Jan 2026 03:05:05 -0000", 60),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 1),
        ("soon", None),
        ("", None),
        ("99999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_reason(given, seconds):
    with pytest.raises(TokenEndpointBusyError) as caught:
        answered(429, b"", retry_after=given)
    assert caught.value.retry_after == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://acme.my.salesforce.com", "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com/", "https://acme.my.salesforce.com"),
        ("https://ACME.my.salesforce.com/services/Soap/u/62.0/00D", "https://acme.my.salesforce.com"),
        ("https://acme.force.com:8443", "https://acme.force.com:8443"),
    ],
)
def test_an_instance_of_the_provider_is_trusted(given, expected):
    assert rules.instance(grant(), given, allow_private=False) == expected


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "acme.my.salesforce.com",
        "http://acme.my.salesforce.com",
        "https://evil.example",
        "https://evilsalesforce.com",
        "https://salesforce.com.evil.example",
        "https://acme.my.salesforce.com@evil.example",
        "https://evil.example#.salesforce.com",
        "https://127.0.0.1",
        "http://169.254.169.254/",
        "javascript:alert(1)",
    ],
)
def test_an_instance_elsewhere_is_refused(given):
    with pytest.raises(UntrustedInstanceError):
        rules.instance(grant(), given, allow_private=False)


@pytest.mark.parametrize("given", ["http://127.0.0.1:9001", "http://localhost:9001", "http://[::1]:9001"])
def test_loopback_is_trusted_only_where_private_addresses_are(given):
    assert rules.instance(grant(), given, allow_private=True) == given
    with pytest.raises(UntrustedInstanceError):
        rules.instance(grant(), given, allow_private=False)
    with pytest.raises(UntrustedInstanceError):
        rules.instance(grant(), "http://10.0.0.1", allow_private=True)
    with pytest.raises(UntrustedInstanceError):
        rules.instance(grant(), "http://localhost.evil.example", allow_private=True)


def test_without_a_list_of_hosts_only_the_token_endpoints_own_is_trusted():
    alone = TokenGrant(kind=GrantKind.CLIENT_CREDENTIALS, url="https://auth.example.org/token")
    assert rules.instance(alone, "https://auth.example.org/api", allow_private=False) == "https://auth.example.org"
    with pytest.raises(UntrustedInstanceError):
        rules.instance(alone, "https://example.org", allow_private=False)


def test_a_provider_with_one_address_has_no_instance():
    assert rules.instance(grant(instance_from=None), "https://evil.example", allow_private=False) is None
    assert answered(body={"access_token": "t"}, of=grant(instance_from=None)).instance is None


SOAP = grant(
    GrantKind.PASSWORD,
    client_id=None,
    client_secret=None,
    username="a<b>",
    password=SecretStr("canary&"),
    security_token=SecretStr("T"),
    soap_url="https://login.salesforce.com/services/Soap/u/62.0",
)
ENVELOPE = '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>{}</e:Body></e:Envelope>'


def test_without_an_app_username_and_password_sign_in_through_soap():
    sent = rules.request(SOAP, NOW)
    assert sent.url.endswith("/services/Soap/u/62.0")
    assert b"<u:username>a&lt;b&gt;</u:username><u:password>canary&amp;T</u:password>" in sent.body
    assert "canary" not in repr(sent)
    body = ENVELOPE.format(
        '<loginResponse xmlns="urn:partner.soap.sforce.com"><result><sessionId>00D!x</sessionId>'
        "<serverUrl>https://acme.my.salesforce.com/services/Soap/u/62.0/00D</serverUrl>"
        "<userInfo><sessionSecondsValid>7200</sessionSecondsValid></userInfo></result></loginResponse>"
    )
    answer = answered(body=body.encode(), of=SOAP)
    assert answer.access_token.get_secret_value() == "00D!x"
    assert answer.life == timedelta(hours=2)
    assert rules.instance(SOAP, answer.instance, allow_private=False) == "https://acme.my.salesforce.com"


def fault(code, text):
    inner = f"<e:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {text}</faultstring></e:Fault>"
    return ENVELOPE.format(inner).encode()


def test_a_soap_fault_is_a_refusal_with_its_reason():
    with pytest.raises(ReauthNeededError) as caught:
        answered(500, fault("INVALID_LOGIN", "Invalid username, password, security token; or user locked out."), SOAP)
    assert caught.value.reason == "INVALID_LOGIN: Invalid username, password, security token; or user locked out"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, fault("SERVER_UNAVAILABLE", "busy"), TokenEndpointBusyError),
        (500, fault("LOGIN_RATE_EXCEEDED", "slow down"), TokenEndpointBusyError),
        (503, b"<html>", TokenEndpointBusyError),
        (200, b"<html>", UnreadableAnswerError),
        (200, b"\xff\xfe", UnreadableAnswerError),
        (200, b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', UnreadableAnswerError),
        (200, ENVELOPE.format("<x/>").encode(), UnreadableAnswerError),
    ],
)
def test_other_soap_answers(status, body, error):
    with pytest.raises(error):
        answered(status, body, SOAP)


@given(st.binary(max_size=300), st.sampled_from([200, 302, 400, 401, 404, 429, 500, 503]))
def test_no_answer_whatever_escapes_the_typed_errors(body, status):
    for of in (grant(), SOAP):
        with pytest.raises((ReauthNeededError, TokenEndpointBusyError, UnreadableAnswerError)):
            answered(status, body, of)
