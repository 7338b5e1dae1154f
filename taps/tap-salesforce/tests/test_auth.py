"""Five ways to sign in, what happens when a session ends, and what people read when it does not work."""

import hashlib
import json
import logging
import socket
import stat
import threading
from contextlib import contextmanager

import jwt
import pytest

from sandboxes.salesforce import LocalOrg
from tap_salesforce.client import Bearer
from tap_salesforce.errors import ConfigError, SignInError, UnavailableError
from tap_salesforce.settings import read
from tap_salesforce.tap import Org, TapSalesforce


def ways(org):
    app = org.app
    return {
        "oauth_refresh": {"client_id": app.client_id, "client_secret": app.client_secret, "refresh_token": app.refresh_token},
        "client_credentials": {"client_id": app.client_id, "client_secret": app.client_secret},
        "jwt_bearer": {"client_id": app.client_id, "username": app.username, "private_key": app.private_key},
        "password": {
            "client_id": app.client_id, "client_secret": app.client_secret,
            "username": app.username, "password": app.password, "security_token": app.security_token,
        },
        "soap": {"username": app.username, "password": app.password, "security_token": app.security_token},
    }  # fmt: skip


def auth(org, way, **changes):
    tag = "password" if way == "soap" else way
    return {"auth_type": tag, **ways(org)[way], **changes}


WAYS = ["oauth_refresh", "client_credentials", "jwt_bearer", "password", "soap"]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_signs_in_and_survives_the_end_of_a_session(org, configure, run, way):
    config = configure(org, auth=auth(org, way), window_rows=200)
    org.faults.add("session", path="/results", nth=2)
    out = run(config)
    assert sum(out.ids("Contact").values()) == 900
    assert max(out.ids("Contact").values()) == 1


def test_the_assertion_names_the_login_host_and_expires_soon(org, configure, run, monkeypatch):
    seen = {}
    encode = jwt.encode
    monkeypatch.setattr(jwt, "encode", lambda claims, *a, **k: seen.update(claims) or encode(claims, *a, **k))
    run(configure(org, auth=auth(org, "jwt_bearer"), streams=["Account"]))
    assert (seen["aud"], seen["sub"], seen["iss"]) == (org.url, org.app.username, org.app.client_id)


def test_a_private_key_out_of_an_environment_variable_works(org, configure, run):
    one_line = org.app.private_key.replace("\n", "\\n")
    run(configure(org, auth=auth(org, "jwt_bearer", private_key=one_line), streams=["Account"]))


@pytest.mark.parametrize("key", ["not a key", "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----"])
def test_a_bad_private_key_is_named_and_not_shown(org, configure, run, key):
    with pytest.raises(ConfigError, match=r"private_key is not an RSA private key") as raised:
        run(configure(org, auth=auth(org, "jwt_bearer", private_key=key)))
    assert key not in str(raised.value) and raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("way", "change", "reason"),
    [
        ("oauth_refresh", {"refresh_token": "5Aep8-wrong"}, r"invalid_grant \(.*\).*sign in to Salesforce again"),
        ("client_credentials", {"client_secret": "wr0ng-secret"}, r"invalid_client \(.*consumer secret"),
        ("client_credentials", {"client_id": "wr0ng-id"}, r"invalid_client_id \(.*consumer key"),
        ("password", {"password": "wr0ng-pass"}, r"invalid_grant \(.*"),
        ("soap", {"password": "wr0ng-pass"}, "INVALID_LOGIN.*security token"),
        ("jwt_bearer", {"username": "somebody@else.example"}, "Salesforce refused the sign-in"),
    ],
)
def test_a_refusal_says_salesforces_reason_and_what_to_do(org, configure, run, way, change, reason):
    with pytest.raises(SignInError, match=reason) as raised:
        run(configure(org, auth=auth(org, way, **change)))
    secrets = {v for k, v in auth(org, way, **change).items() if k not in ("auth_type", "username", "client_id")}
    assert not any(secret in str(raised.value) for secret in secrets)


@pytest.mark.parametrize("way", WAYS)
def test_passing_trouble_at_sign_in_is_waited_out(org, configure, run, quick, way):
    path = "/services/Soap" if way == "soap" else "/oauth2/token"
    org.faults.add("status", path=path, status=503, retry_after=2)
    org.faults.add("reset", path=path, nth=2)
    assert len(run(configure(org, auth=auth(org, way), streams=["Account"])).ids("Account")) == 60
    assert "2" in quick


def test_a_host_that_is_not_there_is_said_so(configure, org, run):
    with pytest.raises(UnavailableError, match=r"can't be reached.*Connection refused.*Check domain"):
        run(configure(org, auth=auth(org, "client_credentials"), domain="http://127.0.0.1:9", max_retries=0))


def test_a_host_that_is_not_salesforce_is_said_so(configure, org, run):
    org.faults.add("status", path="oauth2/token", status=404, times=0)
    with pytest.raises(SignInError):
        run(configure(org, auth=auth(org, "client_credentials")))


def test_an_answer_that_leads_elsewhere_is_refused(org, configure, run, monkeypatch):
    monkeypatch.setattr(type(org), "url", property(lambda _: "https://evil.example"))
    with pytest.raises(ConfigError, match=r"instance_url"):
        run({**configure(org, auth=auth(org, "client_credentials")), "domain": org._web.url})


# ---- rotated refresh tokens


@pytest.fixture
def rotating():
    with LocalOrg(counts={"Contact": 400, "User": 5}, rotate_refresh_tokens=True) as org:
        yield org


def test_a_rotated_token_is_used_for_the_next_sign_in_and_it_is_said(rotating, configure, run, caplog):
    rotating.faults.add("session", path="/results")
    assert len(run(configure(rotating, auth=auth(rotating, "oauth_refresh"))).ids("Contact")) == 400
    assert "rotated the refresh token; the new one is kept for this run only" in caplog.text
    assert "5Aep" not in caplog.text


@pytest.mark.parametrize("save", [True, False])
def test_a_rotated_token_is_written_back_only_if_asked(rotating, configure, tmp_path, caplog, monkeypatch, save):
    file = tmp_path / "config.json"
    config = configure(rotating, auth=auth(rotating, "oauth_refresh"), save_rotated_token=save)
    file.write_text(json.dumps(config))
    file.chmod(0o600)
    for _ in range(2 if save else 1):
        with pytest.raises(SystemExit) as ended:
            TapSalesforce.cli(["--config", str(file), "--discover"])
        assert ended.value.code == 0
    kept = json.loads(file.read_text())
    assert (kept["auth"]["refresh_token"] != rotating.app.refresh_token) == save
    assert {k: v for k, v in kept.items() if k != "auth"} == {k: v for k, v in config.items() if k != "auth"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ("is written to the configuration file" in caplog.text) == save


# ---- sessions from somebody else


@contextmanager
def token_socket(path, *answers, nonce=""):
    """Answers each question with the next of `answers`, after the nonce where there is one; the questions asked."""
    questions = []
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()

    def serve():
        for answer in answers:
            try:
                line, _ = server.accept()
            except OSError:
                return
            with line, line.makefile("rwb") as both:
                assert not nonce or both.readline().decode() == f"{nonce}\n"
                questions.append(json.loads(both.readline()))
                both.write(answer(questions[-1]) if callable(answer) else answer)
                both.flush()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield questions
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def session(org, **more):
    return {"auth_type": "session", "access_token": org.access_token(), "instance_url": org.url, **more}


def fresh(org):
    return lambda _: json.dumps({"access_token": org.access_token(), "instance_url": org.url}).encode() + b"\n"


@pytest.mark.parametrize("api", ["REST", "BULK2"])
def test_the_token_socket_is_asked_once_and_the_same_request_repeated(org, configure, run, tmp_path, api):
    mine = session(org, token_socket=str(tmp_path / "s"))
    org.faults.add("session", path="/results" if api == "BULK2" else "/queryAll/")
    org.faults.add("session", path="/results" if api == "BULK2" else "/query(All)?/?", nth=3)
    with token_socket(tmp_path / "s", fresh(org), fresh(org)) as asked:
        out = run(configure(org, auth=mine, api_type=api, window_rows=200))
    assert sum(out.ids("Contact").values()) == 900 and max(out.ids("Contact").values()) == 1
    assert asked[0] == {"rejected_sha256": hashlib.sha256(mine["access_token"].encode()).hexdigest()}


@pytest.mark.parametrize("name", ["s", "s#1"])
def test_a_token_socket_with_a_nonce_is_told_it_first(org, configure, run, tmp_path, name):
    nonce = "0123456789abcdef" * 2
    mine = session(org, token_socket=f"{tmp_path / name}#{nonce}", access_token="00Dgone")
    with token_socket(tmp_path / name, fresh(org), nonce=nonce) as asked:
        run(configure(org, auth=mine, streams=["Account"]))
    assert len(asked) == 1


def test_many_threads_renew_one_token_once(org, configure, tmp_path):
    mine = session(org, token_socket=str(tmp_path / "s"), access_token="00Dgone")
    names = ["Account", "Contact", "Lead", "Opportunity", "User", "Invoice__c", "AccountHistory", "CaseStatus"]
    with token_socket(tmp_path / "s", *[fresh(org)] * len(names)) as asked:
        found = TapSalesforce(config=configure(org, auth=mine, streams=names, max_workers=8)).streams
    assert (len(found), len(asked)) == (len(names), 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            b'{"error":{"code":"needs_reauth","message":"The user revoked access."}}\n',
            "could not be renewed: The user revoked access",
        ),
        (b'{"error":{"code":"needs_reauth"}}\n', "needs_reauth"),
        (b"what?\n", "unreadable answer"),
        (b"", "unreadable answer"),
        (b"x" * 70_000 + b"\n", "unreadable answer"),
        (b'{"access_token":"t"}\n', "no fresh token"),
        (b'{"access_token":"00Dgone","instance_url":"http://127.0.0.1:1"}\n', "no fresher one"),
    ],
)
def test_a_socket_without_a_token_ends_the_run_with_its_reason(org, configure, run, tmp_path, answer, said):
    mine = session(org, token_socket=str(tmp_path / "s"), access_token="00Dgone")
    with token_socket(tmp_path / "s", answer), pytest.raises(SignInError, match=said) as raised:
        run(configure(org, auth=mine))
    assert "00Dgone" not in str(raised.value)


def test_a_socket_may_not_lead_elsewhere(org, configure, run, tmp_path):
    mine = session(org, token_socket=str(tmp_path / "s"), access_token="00Dgone")
    answer = b'{"access_token":"t","instance_url":"https://evil.example"}\n'
    with token_socket(tmp_path / "s", answer), pytest.raises(ConfigError, match=r"evil.example"):
        run(configure(org, auth=mine))


def test_no_socket_and_a_dead_session_is_a_clear_end(org, configure, run, tmp_path):
    with pytest.raises(SignInError, match=r"INVALID_SESSION_ID.*Sign in again"):
        run(configure(org, auth=session(org, access_token="00Dgone")))
    with pytest.raises(SignInError, match=r"token socket did not answer"):
        run(configure(org, auth=session(org, access_token="00Dgone", token_socket=str(tmp_path / "none"))))


def sign_ins(org, monkeypatch):
    """Counts requests for a token."""
    seen = []
    token = org.signin.token
    monkeypatch.setattr(org.signin, "token", lambda *given: seen.append(1) or token(*given))
    return seen


@pytest.mark.parametrize("way", ["oauth_refresh", "session"])
def test_a_session_that_ends_before_the_repeated_request_is_renewed_once_more(org, configure, run, tmp_path, way):
    given = session(org, token_socket=str(tmp_path / "s")) if way == "session" else auth(org, way)
    for nth in (2, 3, 4):
        org.faults.add("session", path="/results", nth=nth)
    with token_socket(tmp_path / "s", *[fresh(org)] * 3):
        out = run(configure(org, auth=given, window_rows=200, max_workers=1))
    assert sum(out.ids("Contact").values()) == 900 and max(out.ids("Contact").values()) == 1


def test_a_request_that_is_refused_with_every_session_ends_the_run_after_few_sign_ins(org, configure, run, monkeypatch):
    asked = sign_ins(org, monkeypatch)
    fault = org.faults.add("session", path="/describe", times=0)
    with pytest.raises(SignInError, match=r"refused the session: INVALID_SESSION_ID"):
        run(configure(org, auth=auth(org, "client_credentials"), max_workers=1))
    assert (fault.hits, len(asked)) == (6, 6)


def test_sessions_that_end_as_fast_as_they_are_made_end_the_run(org, configure, run, monkeypatch):
    asked = sign_ins(org, monkeypatch)
    for nth in range(2, 99, 2):  # every request is answered the second time
        org.faults.add("session", nth=nth, path="/services/data/v")
    with pytest.raises(SignInError, match=r"ended 10 sessions within 10 minutes.*another program"):
        run(configure(org, auth=auth(org, "client_credentials"), window_rows=50, max_workers=1))
    assert len(asked) == 11


@pytest.mark.parametrize("at", ["the beginning", "a renewal"])
def test_a_refused_sign_in_is_never_tried_again(org, configure, monkeypatch, at):
    asked = sign_ins(org, monkeypatch)
    door = Org(read(configure(org, auth=auth(org, "password")))).client._door
    token = door.session().access_token if at == "a renewal" else ""
    before = len(asked)
    monkeypatch.setattr(org.app, "password", "changed meanwhile")
    refused = []

    def worker():
        try:
            door.renew(token) if token else door.session()
        except SignInError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=worker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) - before == 1
    assert len(refused) == 8 and len(set(refused)) == 1


def test_nothing_secret_is_logged(org, configure, run, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    tokens, made = set(), Bearer.__init__
    monkeypatch.setattr(Bearer, "__init__", lambda self, token: tokens.add(token) or made(self, token))
    for way in WAYS:
        org.faults.add("session", path="/results")
        run(configure(org, auth=auth(org, way), streams=["Account"]))
        for name, secret in auth(org, way).items():
            if name in ("client_secret", "refresh_token", "password", "security_token", "private_key"):
                assert secret not in caplog.text
    assert len(tokens) == 2 * len(WAYS) and not any(token in caplog.text for token in tokens)
