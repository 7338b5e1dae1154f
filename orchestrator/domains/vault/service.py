"""Use cases of the vault: save, open, describe and forget secrets; rotate keys while others read and write."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from pydantic import SecretStr
from sqlalchemy.orm import Session

from orchestrator.domains.identity import service as identity
from orchestrator.domains.vault import queries, rules
from orchestrator.domains.vault.errors import KeyNotRotatedError, SecretDamagedError
from orchestrator.domains.vault.types import DataKey, DataKeyUse, Owner, Place, Rotated, RotatedKeys, WrappedDataKey
from orchestrator.drivers import keys as key_files
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.keys import ENVIRONMENT, KeyRing
from orchestrator.kernel.db import Database

_BATCH = 100


def put(tx: Session, keys: KeyRing, org_id: str, owner: Owner, values: Mapping[str, SecretStr]) -> None:
    """Save these fields of a row, each one version on; fields not named stay.

    The organization's first secret makes its data key. Raises MissingKeyError, UnknownKeyError and
    WrappedKeyDamagedError where the data key doesn't open: rather nothing saved than a second, silent beginning.
    """
    if not values:
        return
    queries.hold_keys(tx, org_id)
    data_key = _active_key(tx, keys, org_id)
    queries.lock_owner(tx, org_id, owner)
    before = queries.versions(tx, org_id, owner)
    for field, value in sorted(values.items()):
        place = Place(org_id=org_id, owner=owner, field=field, version=before.get(field, 0) + 1)
        queries.upsert(tx, rules.encrypted(data_key, place, value))


def open_all(tx: Session, keys: KeyRing, org_id: str, owner: Owner) -> dict[str, SecretStr]:
    """Every secret of a row, by field. Raises SecretDamagedError, or what KeyRing.unwrap raises."""
    opened: dict[str, DataKey] = {}
    values: dict[str, SecretStr] = {}
    for sealed in queries.sealed_of(tx, org_id, owner):
        if sealed.key.id not in opened:
            opened[sealed.key.id] = _unwrapped(keys, sealed.key)
        values[sealed.stored.place.field] = rules.decrypted(opened[sealed.key.id], sealed.stored)
    return values


def describe(tx: Session, org_id: str, owner: Owner) -> dict[str, datetime]:
    """Which fields are set, and since when; needs no key."""
    return queries.written_at(tx, org_id, owner)


def forget(tx: Session, org_id: str, owner: Owner, fields: Collection[str] | None = None) -> int:
    """Delete these fields of a row, or all; answers how many were there. Needs no key."""
    return queries.delete_secrets(tx, org_id, owner, fields)


def status(tx: Session, org_id: str) -> list[DataKeyUse]:
    """Every data key of the organization: its master key, and how many secrets hang on it. Needs no key."""
    return queries.uses(tx, org_id)


def uses(drivers: Drivers) -> list[tuple[str, DataKeyUse]]:
    """Every data key of every organization, with the organization's id. Needs no key."""
    found: list[tuple[str, DataKeyUse]] = []
    for org_id in identity.organization_ids(drivers.db):
        with drivers.db.transaction(org_id) as tx:
            found += [(org_id, use) for use in status(tx, org_id)]
    return found


def rotate_keys(drivers: Drivers, *, on_progress: Callable[[int, int], None] = lambda _done, _all: None) -> RotatedKeys:
    """Put every secret of this installation under a new master key and new data keys, while others read and write.

    With a key file, a new key is added to it first, and in the end those are dropped that nothing needs. Keys of the
    environment are the operator's to change: everything goes under the first of them. Cut short anywhere, everything
    still opens, and the next rotation goes on from there.

    on_progress:  told how many secrets were encrypted again, and how many there were at the beginning

    Raises KeyNotRotatedError where the environment has one key and all hangs on it already; then, and where the
    database is away, the key file is as it was.
    """
    before, there = drivers.keys.current, uses(drivers)
    given = [key.id for key in drivers.keys.keys if key.source == ENVIRONMENT]
    if not given:
        key_files.add_key(drivers.settings.key_file)
        drivers.keys.reload()
    elif len(given) == 1 and all(use.master_key_id == before for _, use in there):
        raise KeyNotRotatedError(before)
    total, renewed = sum(use.secrets for _, use in there), dict[str, int]()

    def tell(so_far: Rotated) -> None:
        renewed[so_far.org_id] = so_far.renewed
        on_progress(sum(renewed.values()), total)

    done = rotate(drivers.db, drivers.keys, identity.organization_ids(drivers.db), on_progress=tell)
    used = {use.master_key_id for _, use in uses(drivers)}
    return RotatedKeys(
        master_key=drivers.keys.current,
        removed=() if given else key_files.remove_unused(drivers.settings.key_file, used),
        unneeded=tuple(key_id for key_id in given if key_id not in {drivers.keys.current, *used}),
        organizations=tuple(done),
    )


def rotate(
    db: Database,
    keys: KeyRing,
    org_ids: Iterable[str],
    *,
    on_progress: Callable[[Rotated], None] = lambda _: None,
    batch: int = _BATCH,
) -> list[Rotated]:
    """Put each organization under the current master key and a new data key, while others read and write.

    Each step is a transaction of its own. Cut short anywhere, everything still opens, and the next rotation first
    finishes what this one began (it makes no second new data key). Damaged secrets are reported and left alone.
    Raises what KeyRing.unwrap raises for a data key that doesn't open; organizations before it are done.
    """
    return [_rotate_one(db, keys, org_id, on_progress, batch) for org_id in org_ids]


def _rotate_one(
    db: Database, keys: KeyRing, org_id: str, on_progress: Callable[[Rotated], None], batch: int
) -> Rotated:
    with db.transaction(org_id) as tx:
        queries.change_keys(tx, org_id)
        done = Rotated(org_id=org_id, rewrapped=_rewrap(tx, keys, org_id))
        before = queries.data_keys(tx, org_id)
    if not before:
        return done
    if any(not key.active for key in before):
        done = _renew(db, keys, done, on_progress, batch)
    if not done.renewed:  # else we have just finished an earlier rotation, and its data key is the new one
        _new_active_key(db, keys, org_id)
        done = _renew(db, keys, done, on_progress, batch)
    with db.transaction(org_id) as tx:
        queries.change_keys(tx, org_id)
        done = replace(done, removed=queries.delete_unused_keys(tx, org_id))
    on_progress(done)
    return done


def _new_active_key(db: Database, keys: KeyRing, org_id: str) -> None:
    with db.transaction(org_id) as tx:
        queries.change_keys(tx, org_id)
        queries.retire_active_key(tx, org_id)
        _add_key(tx, keys, org_id)


def _rewrap(tx: Session, keys: KeyRing, org_id: str) -> int:
    current, count = keys.current, 0
    for key in queries.data_keys(tx, org_id):
        if key.master_key_id != current:
            queries.store_wrapped(tx, _wrapped(keys, org_id, _unwrapped(keys, key)))
            count += 1
    return count


def _renew(db: Database, keys: KeyRing, done: Rotated, on_progress: Callable[[Rotated], None], batch: int) -> Rotated:
    """Encrypt again what older data keys encrypted: a quick pass around busy rows, then what was busy, one by one."""
    for limit, skip_busy in ((batch, True), (1, False)):
        after: queries.Cursor | None = None
        done = replace(done, damaged=())
        while True:
            done, after = _renew_some(db, keys, done, after, limit, skip_busy=skip_busy)
            if after is None:
                break
            on_progress(done)
    return done


def _renew_some(
    db: Database, keys: KeyRing, done: Rotated, after: queries.Cursor | None, limit: int, *, skip_busy: bool
) -> tuple[Rotated, queries.Cursor | None]:
    """One small transaction; answers the last place seen, None at the end."""
    org_id, damaged, renewed = done.org_id, list(done.damaged), 0
    with db.transaction(org_id) as tx:
        queries.hold_keys(tx, org_id)
        opened = {key.id: _unwrapped(keys, key) for key in queries.data_keys(tx, org_id)}
        active = _active_key(tx, keys, org_id)
        found = queries.under_other_keys(tx, org_id, active.id, after=after, limit=limit, skip_busy=skip_busy)
        for old in found:
            try:
                value = rules.decrypted(opened[old.data_key_id], old)
            except SecretDamagedError:
                damaged.append(old.place)
                continue
            queries.replace_blob(tx, old, rules.encrypted(active, old.place, value))
            renewed += 1
        left = queries.count_under_other_keys(tx, org_id, active.id)
    done = replace(done, renewed=done.renewed + renewed, left=left, damaged=tuple(damaged))
    if not found:
        return done, None
    last = found[-1].place
    return done, (last.owner.table, last.owner.row_id, last.field)


def _active_key(tx: Session, keys: KeyRing, org_id: str) -> DataKey:
    """The data key new values are encrypted with, made if this is the first; of two makers one wins, for both."""
    stored = queries.active_key(tx, org_id)
    if stored is None:
        _add_key(tx, keys, org_id)
        stored = queries.active_key(tx, org_id)
    if stored is None:  # pragma: no cover - the index allows one, and nobody deletes an active key
        raise LookupError(f"organization {org_id} has no data key")
    return _unwrapped(keys, stored)


def _add_key(tx: Session, keys: KeyRing, org_id: str) -> None:
    fresh = rules.new_data_key(queries.next_key_version(tx, org_id))
    queries.insert_key(tx, _wrapped(keys, org_id, fresh))


def _wrapped(keys: KeyRing, org_id: str, key: DataKey) -> WrappedDataKey:
    locked = keys.wrap(rules.raw(key), rules.wrap_context(org_id, key.id, key.version))
    return WrappedDataKey(
        id=key.id, org_id=org_id, version=key.version, master_key_id=locked.key_id, wrapped=locked.blob, active=True
    )


def _unwrapped(keys: KeyRing, key: WrappedDataKey) -> DataKey:
    aad = rules.wrap_context(key.org_id, key.id, key.version)
    return rules.opened(key.id, key.version, keys.unwrap(key.master_key_id, key.wrapped, aad))
