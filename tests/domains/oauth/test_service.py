import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from orchestrator.domains.identity import service as identity
from orchestrator.domains.oauth import queries, service
from orchestrator.domains.oauth.errors import (
    CredentialNotFoundError,
    GrantIncompleteError,
    ReauthNeededError,
    RenewalTakesLongError,
    TokenEndpointBusyError,
    UntrustedInstanceError,
)
from orchestrator.domains.oauth.types import CredentialStatus, GrantKind, Pace, TokenGrant
from orchestrator.domains.vault import service as vault
from orchestrator.drivers.http import Http, UnreachableError
from orchestrator.kernel import ids
from orchestrator.kernel.db import Database, DatabaseAwayError

TOKEN_PATH = "/services/oauth2/token"


@pytest.fixture
def grant(org):
    return TokenGrant(
        kind=GrantKind.REFRESH_TOKEN,
        url=org.url + TOKEN_PATH,
        hosts=("salesforce.com",),
        client_id=org.app.client_id,
        client_secret=SecretStr(org.app.client_secret),
        rotates=True,
    )


class Kept:
    """A credential that is stored, and what a test does with it."""

    def __init__(self, database, keys, org_id, grant, secrets):
        self.database, self.keys, self.org_id, self.grant = database, keys, org_id, grant
        with database.transaction(org_id) as tx:
            self.id = service.create(
                tx, keys, org_id, provider="salesforce", auth_type="oauth_refresh", secrets=secrets
            ).id

    def fresh(self, of=None, *, http=None, **knobs):
        http = http or Http(allow_private=True)
        return service.fresh(self.database, self.keys, http, self.org_id, self.id, of or self.grant, **knobs)

    def standing(self):
        with self.database.transaction(self.org_id) as tx:
            return queries.standing(tx, self.org_id, self.id)

    def refresh_token(self):
        with self.database.transaction(self.org_id) as tx:
            found = vault.open_all(tx, self.keys, self.org_id, service.owner(self.id))
        return found["auth.refresh_token"].get_secret_value()

    def enter(self, refresh_token, **more):
        with self.database.transaction(self.org_id) as tx:
            values = {"auth.refresh_token": SecretStr(refresh_token)}
            service.set_secrets(tx, self.keys, self.org_id, self.id, values, **more)

    def age(self, **columns):
        """Move the times of the credential, as if they had passed."""
        changes = ", ".join(f"{name} = clock_timestamp() + interval '{value}'" for name, value in columns.items())
        with self.database.transaction(self.org_id) as tx:
            tx.execute(text(f"UPDATE orchestrator.integration_credentials SET {changes}"))

    def events(self):
        with self.database.transaction(self.org_id) as tx:
            return tx.execute(text("SELECT name, payload FROM orchestrator.events")).all()


@pytest.fixture
def kept(database, keys, org_id, grant, org):
    secrets = {"auth.client_secret": org.app.client_secret, "auth.refresh_token": org.app.refresh_token}
    return Kept(database, keys, org_id, grant, {field: SecretStr(value) for field, value in secrets.items()})


def calls(org):
    return org.stats.shown()["requests"].get(f"POST {TOKEN_PATH}", 0)


def sha(session):
    return sha256(session.access_token.get_secret_value().encode()).hexdigest()


def works(org, session):
    return org.signin.check(f"Bearer {session.access_token.get_secret_value()}")


def test_a_token_is_asked_for_once_and_then_kept(kept, org):
    first, second = kept.fresh(), kept.fresh()
    assert works(org, first)
    assert first == second
    assert first.instance_url == org.url
    assert calls(org) == 1


def test_the_rotated_refresh_token_is_stored(kept, org):
    first = kept.fresh()
    assert kept.refresh_token() != org.app.refresh_token
    second = kept.fresh(rejected_sha256=sha(first))
    assert works(org, second)
    assert (first.version, second.version) == (1, 2)


def test_the_rotated_refresh_token_is_committed_before_the_access_token_is_handed_out(kept, org, monkeypatch):
    """A commit that fails for good hands out nothing."""
    real = vault.put

    def away(tx, *args):
        real(tx, *args)
        raise DatabaseAwayError("gone")

    monkeypatch.setattr(service, "_SAVE_AGAIN", ())
    monkeypatch.setattr(vault, "put", away)
    with pytest.raises(DatabaseAwayError):
        kept.fresh()
    monkeypatch.setattr(vault, "put", real)
    assert kept.refresh_token() == org.app.refresh_token


def test_a_database_that_is_away_when_the_answer_comes_is_waited_for(kept, org, monkeypatch):
    real, failures = Database.transaction, iter([True, True])

    def flaky(self, *args, **kwargs):
        if calls(org) and next(failures, False):
            raise DatabaseAwayError("gone")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(service, "_SAVE_AGAIN", (0, 0))
    monkeypatch.setattr(Database, "transaction", flaky)
    assert works(org, kept.fresh())
    assert calls(org) == 1


def test_a_token_near_its_end_is_renewed(kept, org):
    first = kept.fresh()
    kept.age(access_refresh_at="-1 second")
    assert kept.fresh().access_token != first.access_token
    assert calls(org) == 2


def test_a_rejected_token_is_not_answered_again_and_a_newer_one_is_not_renewed(kept, org):
    first = kept.fresh()
    second = kept.fresh(rejected_sha256=sha(first))
    assert second.access_token != first.access_token
    assert kept.fresh(rejected_sha256=sha(first)) == second
    assert calls(org) == 2


def test_many_who_want_a_token_at_once_cause_one_call_a_round_and_no_revocation(kept, org):
    """Eight callers, six rounds, each rejecting the round's token: the org ends the grant at any second use."""
    ready = threading.Barrier(8)

    def want(rejected):
        ready.wait()
        return kept.fresh(rejected_sha256=rejected)

    rejected = None
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(1, 7):
            sessions = list(pool.map(want, [rejected] * 8))
            assert len({sha(session) for session in sessions}) == 1
            assert calls(org) == round_
            assert works(org, sessions[0])
            rejected = sha(sessions[0])


def test_no_transaction_is_open_while_the_provider_is_asked(kept, org, database, http):
    class Watching(Http):
        def request(self, *args, **kwargs):
            assert database.pool.pool.checkedout() == 0
            return super().request(*args, **kwargs)

    assert works(org, kept.fresh(http=Watching(allow_private=True)))


def test_a_refusal_is_told_in_the_providers_words_and_remembered(kept, org):
    org.signin.revoke_refresh_tokens()
    for _ in range(2):
        with pytest.raises(ReauthNeededError) as caught:
            kept.fresh()
        assert caught.value.reason == "invalid_grant: expired access/refresh token"
        assert caught.value.exit_code == 8
    assert calls(org) == 1
    now = kept.standing().credential
    assert (now.status, now.status_reason) == (CredentialStatus.NEEDS_REAUTH, caught.value.reason)
    assert [(name, payload["credential_id"]) for name, payload in kept.events()] == [
        ("credential.reauth_needed", kept.id)
    ]


def test_trying_again_asks_where_it_was_refused_before(kept, org, grant):
    wrong = replace(grant, client_secret=SecretStr("canary-wrong"))
    with pytest.raises(ReauthNeededError, match="invalid_client") as caught:
        kept.fresh(wrong)
    assert "canary" not in f"{caught.value.message}{caught.value.facts}"
    with pytest.raises(ReauthNeededError):
        kept.fresh()
    assert works(org, kept.fresh(try_again=True))
    assert kept.standing().credential.status is CredentialStatus.ACTIVE
    assert works(org, kept.fresh())


def test_trying_again_in_vain_tells_once(kept, org):
    org.signin.revoke_refresh_tokens()
    for _ in range(2):
        with pytest.raises(ReauthNeededError):
            kept.fresh(try_again=True)
    assert calls(org) == 2
    assert len(kept.events()) == 1


def test_secrets_entered_again_make_it_work_again(kept):
    session = kept.fresh()
    renewed = kept.refresh_token()
    kept.enter("wrong")
    with pytest.raises(ReauthNeededError):
        kept.fresh()
    kept.enter(renewed, auth_type="oauth_refresh")
    assert kept.fresh().access_token != session.access_token


def test_the_old_access_token_is_deleted_when_secrets_are_entered_again(kept):
    kept.fresh()
    kept.enter("another")
    with kept.database.transaction(kept.org_id) as tx:
        assert "access_token" not in vault.describe(tx, kept.org_id, service.owner(kept.id))


def meanwhile(monkeypatch, action):
    """Do something after the token endpoint was asked and before its answer is used."""
    real = service.sign_in

    def held_up(*args, **kwargs):
        monkeypatch.setattr(service, "sign_in", real)
        try:
            return real(*args, **kwargs)
        finally:
            action()

    monkeypatch.setattr(service, "sign_in", held_up)


def test_secrets_entered_during_a_renewal_are_not_overwritten(kept, org, monkeypatch):
    with_new_secret = org.signin._new_refresh(next(iter(org.signin._refresh.values())))

    def person():
        kept.enter("entered by a person")

    kept.enter(with_new_secret)
    meanwhile(monkeypatch, person)
    with pytest.raises(ReauthNeededError):
        kept.fresh()
    assert kept.refresh_token() == "entered by a person"


def test_a_refusal_of_tokens_that_were_replaced_meanwhile_counts_for_nothing(kept, org, monkeypatch):
    right = kept.refresh_token()
    kept.enter("stale")

    def somebody():
        kept.enter(right)

    meanwhile(monkeypatch, somebody)
    assert works(org, kept.fresh())
    assert kept.standing().credential.status is CredentialStatus.ACTIVE


def test_a_busy_provider_is_left_alone_for_as_long_as_it_asks(kept, org):
    org.faults.add("status", path=TOKEN_PATH, status=429, retry_after=7)
    with pytest.raises(TokenEndpointBusyError) as caught:
        kept.fresh()
    assert caught.value.retry_after == timedelta(seconds=7)
    with pytest.raises(TokenEndpointBusyError, match="asked us to wait"):
        kept.fresh()
    assert calls(org) == 1
    assert not kept.standing().leased
    kept.age(refresh_not_before="-1 second")
    assert works(org, kept.fresh())


def test_a_busy_provider_that_names_no_time_gets_a_little(kept, org):
    org.faults.add("status", path=TOKEN_PATH, status=503)
    with pytest.raises(TokenEndpointBusyError):
        kept.fresh()
    assert timedelta(0) < kept.standing().cooling <= timedelta(seconds=5)


def test_a_token_with_some_life_left_is_used_while_the_provider_is_busy_or_away(kept, org):
    first = kept.fresh()
    kept.age(access_refresh_at="-1 second")
    org.faults.add("status", path=TOKEN_PATH, status=503, retry_after=60)
    assert kept.fresh() == first
    assert kept.fresh() == first
    assert calls(org) == 2
    with pytest.raises(TokenEndpointBusyError):
        kept.fresh(rejected_sha256=sha(first))
    kept.age(access_expires_at="-1 second")
    with pytest.raises(TokenEndpointBusyError):
        kept.fresh()


def test_a_provider_that_cannot_be_reached_holds_nobody_back(kept, org, grant):
    away = replace(grant, url="https://login.salesforce.com/token")

    def unknown(_host, _port):
        raise OSError

    with pytest.raises(UnreachableError):
        kept.fresh(away, http=Http(allow_private=True, resolve=unknown))
    assert not kept.standing().leased
    assert works(org, kept.fresh())


def test_a_request_whose_answer_is_lost_is_not_sent_again(kept, org):
    org.faults.add("reset", path=TOKEN_PATH, fraction=0.5)
    with pytest.raises(UnreachableError) as caught:
        kept.fresh()
    assert caught.value.sent
    assert calls(org) == 1


def test_a_renewal_that_died_is_taken_over_when_its_lease_ends(kept, org):
    with kept.database.transaction(kept.org_id) as tx:
        assert queries.take_lease(tx, kept.org_id, kept.id, version=0, seconds=timedelta(minutes=5))
    with pytest.raises(RenewalTakesLongError):
        kept.fresh(pace=Pace(wait=timedelta(0)))
    assert calls(org) == 0
    kept.age(refresh_lease_until="-1 second")
    assert works(org, kept.fresh())


def test_a_lease_is_only_for_the_version_that_was_read_and_only_its_holder_releases_it(kept):
    minute = timedelta(minutes=1)
    with kept.database.transaction(kept.org_id) as tx:
        assert queries.take_lease(tx, kept.org_id, kept.id, version=7, seconds=minute) is None
        lease = queries.take_lease(tx, kept.org_id, kept.id, version=0, seconds=minute)
        assert queries.take_lease(tx, kept.org_id, kept.id, version=0, seconds=minute) is None
        queries.release_lease(tx, kept.org_id, kept.id, lease - timedelta(microseconds=1))
        assert queries.standing(tx, kept.org_id, kept.id).leased
        queries.release_lease(tx, kept.org_id, kept.id, lease)
        assert not queries.standing(tx, kept.org_id, kept.id).leased


def test_somebody_who_was_held_up_before_the_call_gives_the_lease_back(kept, org):
    with pytest.raises(RenewalTakesLongError):
        kept.fresh(pace=Pace(call=timedelta(seconds=20), lease=timedelta(seconds=20), wait=timedelta(0)))
    assert calls(org) == 0
    assert not kept.standing().leased


def test_a_grant_that_is_incomplete_leaves_no_lease_behind(kept, grant):
    with pytest.raises(GrantIncompleteError):
        kept.fresh(replace(grant, client_id=None))
    assert not kept.standing().leased


def test_an_instance_elsewhere_is_refused_but_the_rotated_refresh_token_is_kept(kept, org, grant):
    """The provider's answer is genuine and local; to a client without private addresses it would be an attack."""
    real = service.rules.instance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            service.rules, "instance", lambda grant, given, allow_private: real(grant, given, allow_private=False)
        )
        with pytest.raises(UntrustedInstanceError):
            kept.fresh()
    assert kept.refresh_token() != org.app.refresh_token
    assert works(org, kept.fresh())
    assert calls(org) == 2


@pytest.mark.parametrize("kind", list(GrantKind))
def test_every_grant_signs_in_at_the_local_org(kind, org, grant, http):
    of = replace(
        grant,
        kind=kind,
        refresh_token=SecretStr(org.app.refresh_token),
        username=org.app.username,
        password=SecretStr(org.app.password),
        security_token=SecretStr(org.app.security_token),
        private_key=SecretStr(org.app.private_key),
    )
    answer = service.sign_in(http, of)
    assert org.signin.check(f"Bearer {answer.access_token.get_secret_value()}")
    assert answer.instance == org.url
    assert (answer.refresh_token is not None) == (kind is GrantKind.REFRESH_TOKEN)


def test_username_and_password_alone_sign_in_through_soap(org, grant, http):
    of = replace(
        grant,
        kind=GrantKind.PASSWORD,
        client_id=None,
        username=org.app.username,
        password=SecretStr(org.app.password),
        security_token=SecretStr(org.app.security_token),
        soap_url=f"{org.url}/services/Soap/u/62.0",
    )
    assert org.signin.check(f"Bearer {service.sign_in(http, of).access_token.get_secret_value()}")
    with pytest.raises(ReauthNeededError, match="INVALID_LOGIN"):
        service.sign_in(http, replace(of, password=SecretStr("canary-wrong")))


def test_client_credentials_need_nothing_stored_but_the_data_key(kept, org, grant):
    of = replace(grant, kind=GrantKind.CLIENT_CREDENTIALS)
    assert works(org, kept.fresh(of))
    assert kept.fresh(of) == kept.fresh(of)
    assert calls(org) == 1


def test_a_sign_in_before_saving_is_kept_with_the_credential(database, keys, org_id, org, grant):
    local = Http(allow_private=True)
    answer = service.sign_in(local, replace(grant, refresh_token=SecretStr(org.app.refresh_token)))
    with database.transaction(org_id) as tx:
        made = service.create(tx, keys, org_id, provider="salesforce")
        session = service.store(tx, keys, org_id, made.id, grant=grant, answer=answer, allow_private=True)
    assert service.fresh(database, keys, local, org_id, made.id, grant) == session
    renewed = service.fresh(database, keys, local, org_id, made.id, grant, rejected_sha256=sha(session))
    assert works(org, renewed)
    assert calls(org) == 2


def test_describing_shows_what_is_set_and_no_token(kept):
    kept.fresh()
    with kept.database.transaction(kept.org_id) as tx:
        shown = service.describe(tx, kept.org_id, kept.id)
    assert list(shown.secrets) == ["auth.client_secret", "auth.refresh_token"]
    assert shown.credential.provider == "salesforce"
    assert shown.credential.granted_scopes == ("refresh_token", "api", "id")


def test_a_credential_of_another_organization_is_like_none(kept, http):
    other = identity.ensure(kept.database, "other").org_id
    for org, wanted in ((other, kept.id), (kept.org_id, ids.new("cred")), (kept.org_id, "nonsense")):
        with pytest.raises(CredentialNotFoundError):
            service.fresh(kept.database, kept.keys, http, org, wanted, kept.grant)
        with kept.database.transaction(org) as tx, pytest.raises(CredentialNotFoundError):
            service.set_secrets(tx, kept.keys, org, wanted, {})
