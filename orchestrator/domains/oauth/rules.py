"""What is sent to a token endpoint, what its answer means, and how long a token is used."""

import base64
import json
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from pydantic import SecretStr

from orchestrator.domains.oauth.errors import (
    GrantIncompleteError,
    InvalidPrivateKeyError,
    ReauthNeededError,
    TokenEndpointBusyError,
    UntrustedInstanceError,
)
from orchestrator.domains.oauth.types import GrantKind, TokenAnswer, TokenGrant, TokenRequest
from orchestrator.drivers import addresses
from orchestrator.drivers.addresses import AddressNotAllowedError
from orchestrator.drivers.http import Response, UnreadableAnswerError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_JWT_LIFE = timedelta(minutes=3)  # source: Salesforce help, "OAuth 2.0 JWT Bearer Flow"
_SMALLEST_RSA = 2048
_LONGEST_MARGIN = timedelta(minutes=15)
_MARGIN_SHARE = 0.2
_SHORTEST_WAIT, _LONGEST_WAIT = timedelta(seconds=1), timedelta(hours=1)
_LONGEST_REASON = 200
_SHORTEST_SECRET = 4  # shorter ones would take letters out of words
_TOKEN = re.compile(r"[!-~]{1,16384}")
_TOO_MANY_REQUESTS, _SERVER_ERRORS = 429, 500
# Refusals that are taken back a moment later.
# source: RFC 6749 section 4.1.2.1; Salesforce help, "OAuth Error Codes" (unknown_error, "retry your request");
# SOAP API guide, "ExceptionCode"; the others from reports of Salesforce's users
_PASSING = (
    "temporarily_unavailable",
    "server_error",
    "server_unavailable",
    "retry your request",
    "rate exceeded",
    "rate_exceeded",
    "rate limit exceeded",
    "already being processed",
)
_SOAP_BODY = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:u="urn:partner.soap.sforce.com">'
    "<soapenv:Body><u:login><u:username>{}</u:username><u:password>{}</u:password></u:login></soapenv:Body>"
    "</soapenv:Envelope>"
)


def request(grant: TokenGrant, now: datetime) -> TokenRequest:
    """What to send. Raises GrantIncompleteError, InvalidPrivateKeyError."""
    build: dict[GrantKind, Callable[[], TokenRequest]] = {
        GrantKind.REFRESH_TOKEN: lambda: _refresh_token(grant),
        GrantKind.CLIENT_CREDENTIALS: lambda: _client_credentials(grant),
        GrantKind.JWT_BEARER: lambda: _jwt_bearer(grant, now),
        GrantKind.PASSWORD: lambda: _password(grant) if grant.client_id or not grant.soap_url else _soap(grant),
    }
    return build[grant.kind]()


def answer(grant: TokenGrant, sent: TokenRequest, response: Response, now: datetime) -> TokenAnswer:
    """What came back. Raises ReauthNeededError, TokenEndpointBusyError, UnreadableAnswerError."""
    soap_fault = sent.body is not None and b"faultcode" in response.body  # comes with status 500
    if response.status == _TOO_MANY_REQUESTS or (response.status >= _SERVER_ERRORS and not soap_fault):
        raise TokenEndpointBusyError(response.where, f"HTTP status {response.status}", _retry_after(response, now))
    values = response.json() if sent.body is None else _soap_values(response)
    if not isinstance(values, dict):
        raise UnreadableAnswerError(response.where, f"it is not an object (HTTP status {response.status})")
    if response.status != 200 or "error" in values:  # noqa: PLR2004 - OK
        raise _refusal(sent, response, values, now)
    token = values.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise UnreadableAnswerError(response.where, "it holds no access token")
    renewed, scope = values.get("refresh_token"), values.get("scope")
    return TokenAnswer(
        access_token=SecretStr(token),
        life=_life(values.get("expires_in")) or grant.lifetime,
        refresh_token=SecretStr(renewed) if isinstance(renewed, str) and renewed else None,
        instance=_text(values.get(grant.instance_from)) if grant.instance_from else None,
        scopes=tuple(scope.split()) if isinstance(scope, str) else None,
    )


def instance(grant: TokenGrant, given: str | None, *, allow_private: bool) -> str | None:
    """Where the API is: scheme and host, of the provider's or loopback where private is allowed; None where the
    provider has one address. Raises UntrustedInstanceError."""  # noqa: D209, D205 - one sentence
    if grant.instance_from is None:
        return None
    where = addresses.parsed(grant.url)
    try:
        address = addresses.parsed(given or "")
    except AddressNotAllowedError:
        raise UntrustedInstanceError(where.where) from None
    local = allow_private and _is_loopback(address.host)
    trusted = addresses.host_matches(address.host, grant.hosts if grant.hosts is not None else (where.host,))
    if not (local or (trusted and address.scheme == "https")):
        raise UntrustedInstanceError(where.where)
    return f"{address.scheme}://{address.host_header}"


def renew_after(life: timedelta) -> timedelta:
    """How long an access token is used: until 15 minutes before its end, or a fifth of a short life."""
    return life - min(_LONGEST_MARGIN, life * _MARGIN_SHARE)


def _needed(grant: TokenGrant, *names: str) -> dict[str, str]:
    """These values in clear. Raises GrantIncompleteError with all that are missing."""
    held = {name: getattr(grant, name) for name in names}
    missing = tuple(name for name, value in held.items() if not value)
    if missing:
        raise GrantIncompleteError(missing)
    return {n: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for n, v in held.items()}


def _form(grant: TokenGrant, fields: dict[str, str], *secret_names: str) -> TokenRequest:
    return TokenRequest(url=grant.url, fields=fields, secrets=tuple(fields[name] for name in secret_names))


def _refresh_token(grant: TokenGrant) -> TokenRequest:
    fields = {"grant_type": "refresh_token"} | _needed(grant, "client_id", "refresh_token")
    if grant.client_secret:
        fields |= _needed(grant, "client_secret")
    return _form(grant, fields, *({"refresh_token", "client_secret"} & fields.keys()))


def _client_credentials(grant: TokenGrant) -> TokenRequest:
    fields = {"grant_type": "client_credentials"} | _needed(grant, "client_id", "client_secret")
    return _form(grant, fields, "client_secret")


def _password(grant: TokenGrant) -> TokenRequest:
    fields = {"grant_type": "password"} | _needed(grant, "client_id", "client_secret", "username", "password")
    fields["password"] += grant.security_token.get_secret_value() if grant.security_token else ""
    return _form(grant, fields, "client_secret", "password")


def _jwt_bearer(grant: TokenGrant, now: datetime) -> TokenRequest:
    values = _needed(grant, "client_id", "username", "private_key")
    endpoint = addresses.parsed(grant.url)
    claims = {
        "iss": values["client_id"],
        "sub": values["username"],
        "aud": grant.audience or f"{endpoint.scheme}://{endpoint.host_header}",
        "exp": int((now + _JWT_LIFE).timestamp()),
        "jti": secrets.token_hex(16),
    }
    fields = {"grant_type": _JWT_GRANT, "assertion": _signed(claims, _rsa_key(values["private_key"]))}
    return _form(grant, fields, "assertion")


def _rsa_key(pem: str) -> "RSAPrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.strip().encode(), password=None)
    except TypeError:
        raise InvalidPrivateKeyError("it is locked with a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidPrivateKeyError("it is no private key in PEM form") from None
    if not isinstance(key, RSAPrivateKey):
        raise InvalidPrivateKeyError("it is not an RSA key")
    if key.key_size < _SMALLEST_RSA:
        raise InvalidPrivateKeyError(f"it has only {key.key_size} bits")
    return key


def _signed(claims: dict[str, Any], key: "RSAPrivateKey") -> str:
    """A JWT with RS256 (RFC 7515)."""
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

    parts = [json.dumps(part, separators=(",", ":")).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    signing = b".".join(_base64(part) for part in parts)
    return (signing + b"." + _base64(key.sign(signing, padding.PKCS1v15(), SHA256()))).decode()


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _soap(grant: TokenGrant) -> TokenRequest:
    """Sign in with username and password alone. source: SOAP API guide, "login()"."""
    values = _needed(grant, "username", "password")
    password = values["password"] + (grant.security_token.get_secret_value() if grant.security_token else "")
    return TokenRequest(
        url=grant.soap_url or grant.url,
        body=_SOAP_BODY.format(escape(values["username"]), escape(password)).encode(),
        headers={"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": "login", "Accept": "text/xml"},
        secrets=(password, values["password"]),
    )


def _soap_values(response: Response) -> dict[str, Any]:
    """The SOAP answer in the words of a token answer. Raises UnreadableAnswerError."""
    text = "" if response.truncated else response.body.decode("utf-8", "replace")
    try:
        # Without a document type there are no entities to expand.
        root = ET.fromstring("" if "<!" in text else text)  # noqa: S314 - short, and see above
    except (ET.ParseError, ValueError):
        raise UnreadableAnswerError(response.where, f"it is no SOAP (HTTP status {response.status})") from None
    found = {element.tag.rpartition("}")[2]: (element.text or "").strip() for element in root.iter()}
    if "faultcode" in found:
        code, text = found["faultcode"].rpartition(":")[2], found.get("faultstring", "")
        return {"error": code, "error_description": text.removeprefix(f"{code}: ")}
    return {
        "access_token": found.get("sessionId"),
        "instance_url": found.get("serverUrl"),
        "expires_in": found.get("sessionSecondsValid"),
    }


def _refusal(
    sent: TokenRequest, response: Response, values: dict[str, Any], now: datetime
) -> ReauthNeededError | TokenEndpointBusyError:
    told = [_text(values.get(key)) for key in ("error", "error_description")]
    reason = _without_secrets(": ".join(text for text in told if text), sent.secrets)
    reason = reason or f"HTTP status {response.status}"
    if any(sign in reason.lower() for sign in _PASSING):
        return TokenEndpointBusyError(response.where, reason, _retry_after(response, now))
    return ReauthNeededError(response.where, reason)


def _without_secrets(text: str, hidden: tuple[str, ...]) -> str:
    for secret in sorted(hidden, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return "".join(char if char.isprintable() else " " for char in text)[:_LONGEST_REASON].strip().rstrip(".")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _life(value: object) -> timedelta | None:
    try:
        seconds = int(str(value))
    except ValueError:
        return None
    return timedelta(seconds=min(seconds, 10 * 365 * 86400)) if seconds > 0 else None


def _retry_after(response: Response, now: datetime) -> timedelta | None:
    """Seconds or a date (RFC 9110, "Retry-After"), within reason."""
    given = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", given):
        wait = timedelta(seconds=int(given))
    else:
        try:
            until = parsedate_to_datetime(given)
        except ValueError:
            return None
        wait = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    return min(max(wait, _SHORTEST_WAIT), _LONGEST_WAIT)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or addresses.is_loopback(host)
    except ValueError:
        return False
