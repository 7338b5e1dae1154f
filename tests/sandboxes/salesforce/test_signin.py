"""Sign-in: grants, sessions, rotation, consent. (modules: signin, login, app)"""

import base64
import json
import re
import time
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sandboxes.salesforce.signin import challenge_of

CALLBACK = "http://127.0.0.1:4242/callback"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def base(org, **more):
    return {"client_id": org.app.client_id, "client_secret": org.app.client_secret, **more}


def refresh(client, token):
    return client.token_for(**base(client.org, grant_type="refresh_token", refresh_token=token))


def refused(answer, error, description):
    assert answer.status == 400
    assert answer.json == {"error": error, "error_description": description}


def works(client, token):
    return client.get("/limits", Authorization=f"Bearer {token}").status == 200


def test_a_refresh_token_gives_a_session(client, org):
    answer = refresh(client, org.app.refresh_token)
    issued = answer.json
    assert answer.headers["cache-control"] == "no-store"
    assert issued["instance_url"] == org.url
    assert issued["token_type"] == "Bearer"
    assert issued["issued_at"].isdigit()
    assert issued["id"] == f"{org.url}/id/{org.app.org_id}/{org.app.user_id}"
    assert "refresh_token" not in issued
    assert works(client, issued["access_token"])
    assert refresh(client, org.app.refresh_token).status == 200


def test_wrong_clients_and_tokens_are_told_apart(client, org):
    good = base(org, grant_type="refresh_token", refresh_token=org.app.refresh_token)
    refused(client.token_for(**{**good, "client_id": "x"}), "invalid_client_id", "client identifier invalid")
    refused(client.token_for(**{**good, "client_secret": "x"}), "invalid_client", "invalid client credentials")
    refused(client.token_for(**{**good, "refresh_token": "x"}), "invalid_grant", "expired access/refresh token")
    refused(client.token_for(grant_type="magic"), "unsupported_grant_type", "grant type not supported")


def test_a_rotated_refresh_token_works_once_and_a_second_use_ends_everything(fresh):
    own = fresh(rotate_refresh_tokens=True)
    first = refresh(own, own.org.app.refresh_token).json
    second = refresh(own, first["refresh_token"]).json
    assert len({own.org.app.refresh_token, first["refresh_token"], second["refresh_token"]}) == 3
    assert works(own, second["access_token"])
    refused(refresh(own, first["refresh_token"]), "invalid_grant", "expired access/refresh token")
    refused(refresh(own, second["refresh_token"]), "invalid_grant", "expired access/refresh token")
    assert not works(own, second["access_token"])


def test_client_credentials_by_form_or_by_basic_header(client, org):
    by_form = client.token_for(**base(org, grant_type="client_credentials"))
    pair = base64.b64encode(f"{org.app.client_id}:{org.app.client_secret}".encode()).decode()
    body = urlencode({"grant_type": "client_credentials"})
    header = {**FORM, "Authorization": f"Basic {pair}"}
    by_header = client.raw("POST", "/services/oauth2/token", body, header)
    assert works(client, by_form.json["access_token"])
    assert works(client, by_header.json["access_token"])
    assert "refresh_token" not in by_form.json


def test_the_password_needs_the_security_token_behind_it(client, org):
    def sign_in(password):
        return client.token_for(**base(org, grant_type="password", username=org.app.username, password=password))

    assert works(client, sign_in(org.app.password + org.app.security_token).json["access_token"])
    refused(sign_in(org.app.password), "invalid_grant", "authentication failure")


def assertion(claims, key, algorithm="RS256"):
    parts = [json.dumps({"alg": algorithm}), json.dumps(claims)]
    signed = ".".join(base64.urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts)
    signature = base64.urlsafe_b64encode(key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))
    return f"{signed}.{signature.decode().rstrip('=')}"


def test_a_jwt_is_checked_for_signature_audience_time_issuer_and_user(client, org):
    key = load_pem_private_key(org.app.private_key.encode(), None)
    good = {"iss": org.app.client_id, "sub": org.app.username, "aud": org.url, "exp": time.time() + 60}

    def sign_in(claims, signer=key, **options):
        grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        return client.token_for(grant_type=grant, assertion=assertion(claims, signer, **options))

    assert works(client, sign_in(good).json["access_token"])
    assert sign_in({**good, "aud": "https://login.salesforce.com"}).status == 200
    assert sign_in({**good, "exp": f"{time.time() + 60:.0f}"}).status == 200  # simple-salesforce sends a string
    refused(sign_in({**good, "exp": "soon"}), "invalid_grant", "invalid assertion")
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    refused(sign_in(good, stranger), "invalid_grant", "invalid assertion")
    refused(sign_in(good, algorithm="none"), "invalid_grant", "algorithm type not supported")
    refused(sign_in({**good, "aud": "https://example.com"}), "invalid_grant", "audience is invalid")
    refused(sign_in({**good, "exp": time.time() - 1}), "invalid_grant", "expired authorization code")
    refused(sign_in({**good, "sub": "someone"}), "invalid_grant", "user hasn't approved this consumer")
    refused(sign_in({**good, "iss": "other app"}), "invalid_client_id", "client identifier invalid")


def authorize(org, **more):
    query = {
        "response_type": "code", "client_id": org.app.client_id, "redirect_uri": CALLBACK, "state": "s/1+é",
        "scope": "api refresh_token", **more,
    }  # fmt: skip
    return "/services/oauth2/authorize?" + urlencode(query)


def decide(client, page, decision):
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.body.decode()))
    answer = client.raw("POST", "/services/oauth2/authorize", urlencode({**fields, "decision": decision}), FORM)
    assert answer.status == 302
    return {k: v for k, (v,) in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def exchange(client, code, **more):
    form = base(client.org, grant_type="authorization_code", code=code, redirect_uri=CALLBACK, **more)
    return client.token_for(**{k: v for k, v in form.items() if v is not None})


def test_consent_gives_a_code_that_works_once_with_its_verifier(client, org):
    verifier = "v" * 64
    page = client.raw("GET", authorize(org, code_challenge=challenge_of(verifier), code_challenge_method="S256"))
    assert page.status == 200
    given = decide(client, page, "allow")
    assert given["state"] == "s/1+é"
    refused(exchange(client, given["code"], code_verifier="wrong"), "invalid_grant", "invalid code verifier")
    # with PKCE an app without a secret may exchange the code
    answer = exchange(client, given["code"], code_verifier=verifier, client_secret=None)
    issued = answer.json
    assert works(client, issued["access_token"])
    assert refresh(client, issued["refresh_token"]).status == 200
    refused(exchange(client, given["code"], code_verifier=verifier), "invalid_grant", "expired authorization code")
    assert not works(client, issued["access_token"])  # a code used twice ends what it gave


def test_consent_can_be_denied(client, org):
    given = decide(client, client.raw("GET", authorize(org)), "deny")
    assert given == {
        "error": "access_denied", "error_description": "end-user denied authorization", "state": "s/1+é",
    }  # fmt: skip


def test_no_consent_page_for_a_strange_client_or_address(client, org):
    for wrong, error in (
        ({"client_id": "x"}, "invalid_client_id"),
        ({"redirect_uri": "https://evil.example/"}, "redirect_uri_mismatch"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": "x", "code_challenge_method": "plain"}, "invalid_request"),
    ):
        answer = client.raw("GET", authorize(org, **wrong))
        assert (answer.status, answer.json["error"]) == (400, error)


def test_a_code_without_pkce_needs_the_secret_and_the_same_address(client, org):
    code = org.signin.approve({"response_type": "code", "client_id": org.app.client_id, "redirect_uri": CALLBACK})
    refused(exchange(client, code, client_secret=None), "invalid_client", "invalid client credentials")
    form = base(org, grant_type="authorization_code", code=code, redirect_uri=CALLBACK + "x")
    refused(client.token_for(**form), "redirect_uri_mismatch", "redirect_uri must match configuration")
    assert exchange(client, code).status == 200


def test_without_the_refresh_scope_there_is_no_refresh_token(client, org):
    request = {"response_type": "code", "client_id": org.app.client_id, "redirect_uri": CALLBACK, "scope": "api"}
    assert "refresh_token" not in exchange(client, org.signin.approve(request)).json


def test_auto_approval_skips_the_page(client, org):
    org.auto_approve = True
    try:
        answer = client.raw("GET", authorize(org))
    finally:
        org.auto_approve = False
    assert answer.status == 302
    assert answer.headers["location"].startswith(CALLBACK + "?code=")


def test_sessions_expire_and_are_revoked(fresh):
    own = fresh(token_lifetime=60)
    token = refresh(own, own.org.app.refresh_token).json["access_token"]
    own.org.clock.advance(59)
    assert works(own, token)
    own.org.clock.advance(2)
    answer = own.get("/limits", Authorization=f"Bearer {token}")
    assert (answer.status, answer.code) == (401, "INVALID_SESSION_ID")
    token = own.org.access_token()
    own.org.revoke_sessions()
    assert not works(own, token)
    own.org.revoke_app()
    assert refresh(own, own.org.app.refresh_token).status == 400


def test_revoking_a_refresh_token_ends_its_sessions(fresh):
    own = fresh()
    token = refresh(own, own.org.app.refresh_token).json["access_token"]
    body = urlencode({"token": own.org.app.refresh_token})
    assert own.raw("POST", "/services/oauth2/revoke", body, FORM).status == 200
    assert not works(own, token)
    assert own.raw("POST", "/services/oauth2/revoke", body, FORM).json["error"] == "invalid_token"


def test_introspection_and_userinfo_tell_about_a_token(client, org):
    def introspect(token):
        return client.raw("POST", "/services/oauth2/introspect", urlencode(base(org, token=token)), FORM).json

    assert introspect(client.token)["token_type"] == "access_token"
    assert introspect(org.app.refresh_token)["active"] is True
    assert introspect("nothing") == {"active": False}
    info = client.get("/services/oauth2/userinfo").json
    assert (info["organization_id"], info["preferred_username"]) == (org.app.org_id, org.app.username)
    assert client.raw("GET", "/services/oauth2/userinfo").status == 403


def test_soap_login_gives_a_session_for_the_password_way(client, org):
    def sign_in(password):
        body = (
            '<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Body>'
            f'<n1:login xmlns:n1="urn:partner.soap.sforce.com"><n1:username>{org.app.username}</n1:username>'
            f"<n1:password>{password}</n1:password></n1:login></env:Body></env:Envelope>"
        )
        return client.raw("POST", "/services/Soap/u/62.0", body, {"Content-Type": "text/xml", "SOAPAction": "login"})

    session = re.search(rb"<sessionId>(.*?)</sessionId>", sign_in(org.app.password + org.app.security_token).body)
    assert works(client, session[1].decode())
    wrong = sign_in("wrong")
    assert wrong.status == 500
    assert b"INVALID_LOGIN" in wrong.body


def test_credentials_follow_the_seed(fresh):
    one, same, other, random = (
        fresh(seed=5), fresh(seed=5), fresh(seed=6), fresh(seed=5, random_credentials=True),
    )  # fmt: skip
    assert one.org.app.credentials() == same.org.app.credentials()
    assert len({c.org.app.refresh_token for c in (one, other, random)}) == 3


def test_the_jwt_key_can_be_kept_in_a_private_file(fresh, tmp_path):
    path = tmp_path / "jwt.pem"
    first = fresh(jwt_key_file=path).org.app
    assert first.credentials()["private_key_file"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert fresh(jwt_key_file=path).org.app.private_key == first.private_key
