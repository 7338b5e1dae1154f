"""Signs in by username, password and security token alone, without a connected app: the SOAP call login().

source: SOAP API Developer Guide, "login()"; Salesforce retires the call with API version 65.
"""

import logging
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tap_salesforce import hosts
from tap_salesforce.auth import Post, Session
from tap_salesforce.errors import SignInError
from tap_salesforce.settings import Settings

_LAST_VERSION = 64.0
_ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?><env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/">'
    '<env:Body><login xmlns="urn:partner.soap.sforce.com"><username>{username}</username>'
    "<password>{password}</password></login></env:Body></env:Envelope>"
)
log = logging.getLogger("tap-salesforce")


class SoapLogin:
    """auth_type password without a client_id."""

    def __init__(self, settings: Settings, post: Post) -> None:
        self._settings = settings
        self._post = post

    def first(self) -> Session:
        """Sign in; SignInError with Salesforce's reason."""
        version = min(float(self._settings.api_version), _LAST_VERSION)
        url = f"{self._settings.login_url}/services/Soap/u/{version:.1f}"
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": "login"}
        found = _texts(self._post.send(url, self._body, headers).content)
        token, server = found.get("sessionId"), found.get("serverUrl")
        if not token or not server:
            reason = found.get("faultstring") or "its answer holds no session"
            raise SignInError(
                f"Salesforce refused the sign-in: {reason}",
                hint="Check username, password, security token and domain, or sign in by a connected app.",
            )
        parts = urlsplit(server)
        base = hosts.instance_url(f"{parts.scheme}://{parts.netloc}", allow_private=self._settings.allow_private)
        return Session(token, base)

    def again(self, rejected: str) -> Session:
        """Sign in once more."""
        log.info("Salesforce ended the session; signing in again.")
        session = self.first()
        if session.access_token == rejected:
            raise SignInError(
                "Salesforce refuses the session it has just opened.", hint="Check the user's login IP ranges."
            )
        return session

    def _body(self) -> bytes:
        auth = self._settings.auth
        secret = f"{auth['password']}{auth.get('security_token') or ''}"
        return _ENVELOPE.format(username=escape(auth["username"]), password=escape(secret)).encode()


def _texts(content: bytes) -> dict[str, str]:
    """Element name → text; {} for anything that is not plain XML (no document types: they can explode)."""
    if b"<!DOCTYPE" in content:
        return {}
    try:
        tree = ET.fromstring(content)  # noqa: S314 - without document types, from Salesforce's own host
    except ET.ParseError:
        return {}
    return {element.tag.rpartition("}")[2]: (element.text or "").strip() for element in tree.iter()}
