"""The paths of sign-in: the OAuth endpoints, the consent page, and the SOAP login of the password way.

source: Salesforce help, "OAuth Endpoints"; SOAP API guide, "login()"
"""

import html
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from .errors import ApiError, OAuthError, not_found
from .tls import MY_DOMAIN, is_salesforce
from .web import Request, Response, as_json

if TYPE_CHECKING:
    from .org import LocalOrg

_SOAP = re.compile(r"/services/Soap/[uc]/(\d\d\.\d)(/.*)?\Z")
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Allow access? – local org</title>
<style>body{{font:16px system-ui;max-width:32rem;margin:4rem auto;padding:0 1rem}}</style>
<h1>Allow access?</h1>
<p>An application asks for access to the <strong>local Salesforce org</strong> (made-up data on this computer)
as <strong>{user}</strong>: {scope}.</p>
<form method="post">{fields}
<button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button></form></html>"""
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns="urn:partner.soap.sforce.com" xmlns:sf="urn:fault.partner.soap.sforce.com"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>'
)
_LOGIN = """<loginResponse><result><metadataServerUrl>{url}/services/Soap/m/{version}/{org}</metadataServerUrl>
<passwordExpired>false</passwordExpired><sandbox>false</sandbox>
<serverUrl>{url}/services/Soap/u/{version}/{org}</serverUrl><sessionId>{session}</sessionId><userId>{user}</userId>
<userInfo><organizationId>{org}</organizationId><sessionSecondsValid>{seconds}</sessionSecondsValid>
<userId>{user}</userId><userName>{name}</userName></userInfo></result></loginResponse>"""
_WRONG = "Invalid username, password, security token; or user locked out."
_FAULT = f"""<soapenv:Fault><faultcode>INVALID_LOGIN</faultcode><faultstring>INVALID_LOGIN: {_WRONG}</faultstring>
<detail><sf:LoginFault xsi:type="sf:LoginFault"><sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode>
<sf:exceptionMessage>{_WRONG}</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>"""


def answer(org: "LocalOrg", request: Request) -> Response:
    """Answer a path outside /services/data."""
    if match := _SOAP.match(request.path):
        return _soap_login(org, request, match[1])
    handlers = {
        ("POST", "/services/oauth2/token"): _token,
        ("GET", "/services/oauth2/authorize"): _consent,
        ("POST", "/services/oauth2/authorize"): _decision,
        ("POST", "/services/oauth2/revoke"): _revoke,
        ("GET", "/services/oauth2/revoke"): _revoke,
        ("POST", "/services/oauth2/introspect"): _introspect,
        ("GET", "/services/oauth2/userinfo"): _userinfo,
        ("POST", "/services/oauth2/userinfo"): _userinfo,
    }
    path = request.path.rstrip("/")
    if path.startswith("/id/"):
        return _userinfo(org, request)
    handler = handlers.get((request.method, path))
    if handler is None:
        raise not_found()
    return handler(org, request)


def _token(org: "LocalOrg", request: Request) -> Response:
    issued = org.signin.token(request.form(), request.headers.get("authorization", ""))
    return as_json(issued, 200, **{"Cache-Control": "no-store", "Pragma": "no-cache"})


def _consent(org: "LocalOrg", request: Request) -> Response:
    org.signin.check_request(request.query)
    if org.auto_approve:
        return _redirect(request.query, code=org.signin.approve(request.query))
    kept = {k: v for k, v in request.query.items() if k != "decision"}
    fields = "".join(f'<input type="hidden" name="{html.escape(k)}" value="{html.escape(v)}">' for k, v in kept.items())
    scope = html.escape(request.query.get("scope") or "everything it is registered for")
    page = _PAGE.format(user=html.escape(org.app.username), scope=scope, fields=fields)
    return Response(body=page.encode(), type="text/html; charset=UTF-8", headers={"Cache-Control": "no-store"})


def _decision(org: "LocalOrg", request: Request) -> Response:
    form = request.form()
    org.signin.check_request(form)
    if form.get("decision") == "deny":
        return _redirect(form, error="access_denied", error_description="end-user denied authorization")
    return _redirect(form, code=org.signin.approve(form))


def _redirect(given: Mapping[str, str], **extra: str) -> Response:
    if "state" in given:
        extra["state"] = given["state"]
    separator = "&" if "?" in given["redirect_uri"] else "?"
    return Response(status=302, headers={"Location": given["redirect_uri"] + separator + urlencode(extra)})


def _revoke(org: "LocalOrg", request: Request) -> Response:
    org.signin.revoke(request.form().get("token") or request.query.get("token", ""))
    return Response()


def _introspect(org: "LocalOrg", request: Request) -> Response:
    return as_json(org.signin.introspect(request.form(), request.headers.get("authorization", "")))


def _userinfo(org: "LocalOrg", request: Request) -> Response:
    try:
        org.signin.check(request.headers.get("authorization", ""))
    except ApiError:
        return Response(status=403, body=b"Bad_OAuth_Token", type="text/plain")
    app = org.app
    return as_json(
        {
            "sub": f"{org.url}/id/{app.org_id}/{app.user_id}",
            "user_id": app.user_id,
            "organization_id": app.org_id,
            "preferred_username": app.username,
            "name": "Integration User",
            "email": app.username,
            "active": True,
            "urls": {"rest": f"{org.url}/services/data/v{{version}}/"},
        }
    )


def _soap_login(org: "LocalOrg", request: Request, version: str) -> Response:
    text = request.body.decode("utf-8", "replace")
    found = [re.search(rf"<(?:\w+:)?{tag}>(.*?)</", text, re.DOTALL) for tag in ("username", "password")]
    username, password = (html.unescape(m[1]) if m else "" for m in found)
    try:
        org.signin.check_password(username, password)
    except OAuthError:
        return _soap(_FAULT, 500)
    url = f"https://{MY_DOMAIN}" if is_salesforce(request.headers.get("host", "")) else org.url
    signed_in = _LOGIN.format(
        url=url, version=version, org=org.app.org_id, user=org.app.user_id, name=org.app.username,
        session=org.access_token(), seconds=int(org.signin.lifetime),
    )  # fmt: skip
    return _soap(signed_in)


def _soap(body: str, status: int = 200) -> Response:
    return Response(status=status, body=_ENVELOPE.format(body=body).encode(), type="text/xml;charset=UTF-8")
