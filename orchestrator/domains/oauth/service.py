"""Use cases of credentials: store them, sign in with them, and keep their access tokens fresh.

A renewal may end the refresh token it used, so it happens once: whoever renews holds a lease in the credential's row
(a row and not a session lock, so that it works behind a transaction pooler too), reads the refresh token under it,
asks the token endpoint with no transaction open, and saves the answer, compared and swapped on `token_version`, before
anybody gets to see the access token.

What can't be helped: a process that dies after the provider has rotated the refresh token and before the answer is
saved loses the new one. The window is one answer read and one commit; a database that is away is waited for. The next
renewal is then refused, and a person has to sign in again.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from pydantic import SecretStr
from sqlalchemy.orm import Session as Transaction

from orchestrator.domains.oauth import queries, rules
from orchestrator.domains.oauth.errors import (
    ReauthNeededError,
    RenewalTakesLongError,
    TokenEndpointBusyError,
    UntrustedInstanceError,
)
from orchestrator.domains.oauth.events import ReauthNeeded
from orchestrator.domains.oauth.types import (
    ACCESS_TOKEN,
    CREDENTIALS,
    DEFAULT_PACE,
    Credential,
    CredentialStatus,
    Described,
    GrantKind,
    Pace,
    Session,
    Standing,
    TokenAnswer,
    TokenGrant,
)
from orchestrator.domains.vault import service as vault
from orchestrator.domains.vault.types import Owner
from orchestrator.drivers import addresses
from orchestrator.drivers.http import Http, UnreachableError
from orchestrator.drivers.keys import KeyRing
from orchestrator.kernel import events
from orchestrator.kernel.db import Database, DatabaseAwayError, Role

_COOLING = timedelta(seconds=5)  # where a busy provider doesn't say how long
_FIRST_LOOK, _LAST_LOOK = 0.05, 0.5  # seconds between looks at somebody else's renewal
_SAVE_AGAIN = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each further attempt to save what we can't get again


def create(
    tx: Transaction,
    keys: KeyRing,
    org_id: str,
    *,
    provider: str,
    auth_type: str | None = None,
    secrets: Mapping[str, SecretStr] | None = None,
) -> Credential:
    """Add a credential and save its secrets, by field path such as `auth.client_secret`."""
    credential = queries.insert(tx, org_id, provider=provider, auth_type=auth_type)
    vault.put(tx, keys, org_id, owner(credential.id), secrets or {})
    return credential


def set_secrets(
    tx: Transaction,
    keys: KeyRing,
    org_id: str,
    credential_id: str,
    secrets: Mapping[str, SecretStr],
    *,
    auth_type: str | None = None,
) -> None:
    """Save what a person entered anew; those not named stay. The old access token is used no longer.

    Raises CredentialNotFoundError, and what vault.put raises.
    """
    queries.store_changed(tx, org_id, credential_id, auth_type=auth_type)
    vault.forget(tx, org_id, owner(credential_id), [ACCESS_TOKEN])
    vault.put(tx, keys, org_id, owner(credential_id), secrets)


def remove(tx: Transaction, org_id: str, credential_id: str) -> None:
    """Remove a credential that nothing uses, with its secrets. Needs no key."""
    vault.forget(tx, org_id, owner(credential_id))
    queries.delete_credential(tx, org_id, credential_id)


def describe(tx: Transaction, org_id: str, credential_id: str) -> Described:
    """A credential and which secrets are set; needs no key. Raises CredentialNotFoundError."""
    credential = queries.standing(tx, org_id, credential_id).credential
    known = vault.describe(tx, org_id, owner(credential_id))
    return Described(credential=credential, secrets={field: at for field, at in known.items() if field != ACCESS_TOKEN})


def owner(credential_id: str) -> Owner:
    """Whose the secrets of a credential are, in the vault."""
    return Owner(table=CREDENTIALS, row_id=credential_id)


def sign_in(http: Http, grant: TokenGrant, *, timeout: timedelta = DEFAULT_PACE.call) -> TokenAnswer:
    """Ask the token endpoint, once. Nothing is stored: a refresh token that rotated is in the answer, and only there.

    Raises ReauthNeededError, TokenEndpointBusyError, UnreadableAnswerError, UnreachableError, AddressNotAllowedError,
    GrantIncompleteError, InvalidPrivateKeyError.
    """
    request = rules.request(grant, _now())
    response = http.request(
        "POST",
        request.url,
        fields=request.fields,
        body=request.body,
        headers=request.headers,
        timeout=timeout.total_seconds(),
        allowed_hosts=grant.hosts,
    )
    return rules.answer(grant, request, response, _now())


def store(
    tx: Transaction,
    keys: KeyRing,
    org_id: str,
    credential_id: str,
    *,
    grant: TokenGrant,
    answer: TokenAnswer,
    allow_private: bool,
) -> Session:
    """Save what `sign_in` gave, in the transaction that saves the credential itself.

    Raises UntrustedInstanceError, CredentialNotFoundError.
    """
    version = queries.standing(tx, org_id, credential_id).credential.token_version
    url = rules.instance(grant, answer.instance, allow_private=allow_private)
    session = _saved(tx, keys, org_id, credential_id, version=version, grant=grant, answer=answer, url=url)
    if session is None:  # pragma: no cover - would need a renewal of a credential that isn't committed yet
        raise RenewalTakesLongError(credential_id)
    return session


def fresh(  # noqa: PLR0917 - what it calls outside, then ids and the grant
    db: Database,
    keys: KeyRing,
    http: Http,
    org_id: str,
    credential_id: str,
    grant: TokenGrant,
    *,
    rejected_sha256: str | None = None,
    try_again: bool = False,
    pace: Pace = DEFAULT_PACE,
) -> Session:
    """An access token that works now: the stored one where it has life left, else a new one. Call without transaction.

    rejected_sha256:  hex SHA-256 of an access token that was refused; that one is not answered again
    try_again:        ask the provider even where it has refused before (a person has changed something there)

    Raises CredentialNotFoundError; ReauthNeededError with the provider's reason; TokenEndpointBusyError and
    UnreachableError where there is no token left to go on with; RenewalTakesLongError; UntrustedInstanceError; and
    what sign_in and the vault raise.
    """
    renewal = _Renewal(db, keys, http, org_id, credential_id, grant, rejected_sha256, try_again, pace)
    ends, look = time.monotonic() + pace.wait.total_seconds(), _FIRST_LOOK
    while True:
        outcome = renewal.attempt()
        if outcome is not None:
            return outcome
        if time.monotonic() >= ends:
            raise RenewalTakesLongError(credential_id)
        time.sleep(look)
        look = min(look * 1.5, _LAST_LOOK)


@dataclass(frozen=True, slots=True)
class _Renewal:
    """One caller's wish for an access token."""

    db: Database
    keys: KeyRing
    http: Http
    org_id: str
    credential_id: str
    grant: TokenGrant
    rejected_sha256: str | None
    try_again: bool
    pace: Pace

    def attempt(self) -> Session | None:
        """The stored token, or a new one; None where somebody else is at it, or just was."""
        began = time.monotonic()
        with self.db.transaction(self.org_id, role=Role.WORKER) as tx:
            standing = queries.standing(tx, self.org_id, self.credential_id)
            stored = vault.open_all(tx, self.keys, self.org_id, owner(self.credential_id))
            usable = self._usable(standing, stored)
            self._raise_if_refused(standing.credential)
            if usable and standing.fresh and standing.credential.status is CredentialStatus.ACTIVE:
                return usable
            if standing.leased:
                return None
            if standing.cooling:
                return self._not_now(standing, usable)
            lease = self._take_lease(tx, standing.credential)
        if lease is None:
            return None
        if time.monotonic() - began > (self.pace.lease - self.pace.call).total_seconds():
            self._release(lease)  # we were held up; somebody might take over in the middle of a call
            return None
        return self._renew(standing.credential, stored, lease, usable)

    def _usable(self, standing: Standing, stored: Mapping[str, SecretStr]) -> Session | None:
        """The stored access token, unless its time is over or it is the one that was refused."""
        token, credential = stored.get(ACCESS_TOKEN), standing.credential
        if token is None or not standing.alive:
            return None
        if sha256(token.get_secret_value().encode()).hexdigest() == self.rejected_sha256:
            return None
        return Session(access_token=token, instance_url=credential.instance_url, version=credential.token_version)

    def _raise_if_refused(self, credential: Credential) -> None:
        again = self.try_again and credential.status is CredentialStatus.NEEDS_REAUTH
        if credential.status is not CredentialStatus.ACTIVE and not again:
            raise ReauthNeededError(self._where(), credential.status_reason or "access was revoked")

    def _not_now(self, standing: Standing, usable: Session | None) -> Session:
        if usable is None:
            raise TokenEndpointBusyError(self._where(), "it asked us to wait", standing.cooling)
        return usable

    def _take_lease(self, tx: Transaction, credential: Credential) -> datetime | None:
        version, seconds = credential.token_version, self.pace.lease
        return queries.take_lease(tx, self.org_id, self.credential_id, version=version, seconds=seconds)

    def _renew(
        self, credential: Credential, stored: Mapping[str, SecretStr], lease: datetime, usable: Session | None
    ) -> Session | None:
        grant = self.grant
        if grant.kind is GrantKind.REFRESH_TOKEN:
            grant = replace(grant, refresh_token=stored.get(grant.refresh_field))
        try:
            answer = sign_in(self.http, grant, timeout=self.pace.call)
        except ReauthNeededError as refused:
            if self._store_refused(credential, refused.reason):
                raise
            return None  # the tokens have changed meanwhile
        except (TokenEndpointBusyError, UnreachableError) as busy:
            self._release(lease, wait=_wait(busy))
            if usable is None:
                raise
            return usable
        except BaseException:
            self._release(lease)
            raise
        return self._save(credential, answer)

    def _save(self, credential: Credential, answer: TokenAnswer) -> Session | None:
        """Keep what the provider gave, whatever comes: a rotated refresh token can't be had again."""
        try:
            url = rules.instance(self.grant, answer.instance, allow_private=self.http.allow_private)
        except UntrustedInstanceError:
            self._insist(lambda tx: self._saved(tx, credential, replace(answer, life=timedelta(0)), None))
            raise
        return self._insist(lambda tx: self._saved(tx, credential, answer, url))

    def _saved(self, tx: Transaction, credential: Credential, answer: TokenAnswer, url: str | None) -> Session | None:
        return _saved(
            tx,
            self.keys,
            self.org_id,
            self.credential_id,
            version=credential.token_version,
            grant=self.grant,
            answer=answer,
            url=url,
        )

    def _insist(self, save: Callable[[Transaction], Session | None]) -> Session | None:
        """Save, and while the database is away, again; a save that arrived twice counts once (compare and swap)."""
        for pause in (*_SAVE_AGAIN, None):
            try:
                with self.db.transaction(self.org_id, role=Role.WORKER) as tx:
                    return save(tx)
            except DatabaseAwayError:
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError  # pragma: no cover - the last turn returns or raises

    def _store_refused(self, credential: Credential, reason: str) -> bool:
        with self.db.transaction(self.org_id, role=Role.WORKER) as tx:
            moved = queries.store_refused(
                tx, self.org_id, self.credential_id, version=credential.token_version, reason=reason
            )
            if moved and credential.status is CredentialStatus.ACTIVE:
                events.emit(tx, ReauthNeeded(org_id=self.org_id, credential_id=self.credential_id, reason=reason))
        return moved is not None

    def _release(self, lease: datetime, *, wait: timedelta | None = None) -> None:
        with suppress(DatabaseAwayError), self.db.transaction(self.org_id, role=Role.WORKER) as tx:
            queries.release_lease(tx, self.org_id, self.credential_id, lease, wait=wait)  # it ends by itself otherwise

    def _where(self) -> str:
        return addresses.parsed(self.grant.url).where


def _saved(
    tx: Transaction,
    keys: KeyRing,
    org_id: str,
    credential_id: str,
    *,
    version: int,
    grant: TokenGrant,
    answer: TokenAnswer,
    url: str | None,
) -> Session | None:
    """Compare and swap; the row stays locked until the secrets are in. None where the tokens have changed meanwhile."""
    moved = queries.store_tokens(
        tx,
        org_id,
        credential_id,
        version=version,
        life=answer.life,
        renew_after=rules.renew_after(answer.life),
        instance_url=url,
        scopes=answer.scopes,
    )
    if moved is None:
        return None
    values = {ACCESS_TOKEN: answer.access_token}
    if answer.refresh_token is not None:
        values[grant.refresh_field] = answer.refresh_token
    vault.put(tx, keys, org_id, owner(credential_id), values)
    return Session(access_token=answer.access_token, instance_url=url, version=moved)


def _wait(busy: TokenEndpointBusyError | UnreachableError) -> timedelta | None:
    return (busy.retry_after or _COOLING) if isinstance(busy, TokenEndpointBusyError) else None


def _now() -> datetime:
    return datetime.now(UTC)
