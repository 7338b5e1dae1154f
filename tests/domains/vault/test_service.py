import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from orchestrator.domains.identity import service as identity
from orchestrator.domains.vault import queries, service
from orchestrator.domains.vault.errors import SecretDamagedError
from orchestrator.domains.vault.types import Owner
from orchestrator.drivers import keys as key_files
from orchestrator.drivers.keys import KeyRing, MissingKeyError, UnknownKeyError, WrappedKeyDamagedError
from orchestrator.kernel.db import Role

ROW = Owner(table="integration_credentials", row_id="cred_1")


def put(database, keys, org_id, owner=ROW, role=Role.APP, **values):
    with database.transaction(org_id, role=role) as tx:
        service.put(tx, keys, org_id, owner, {name: SecretStr(value) for name, value in values.items()})


def opened(database, keys, org_id, owner=ROW):
    with database.transaction(org_id, role=Role.WORKER) as tx:
        found = service.open_all(tx, keys, org_id, owner)
    return {field: value.get_secret_value() for field, value in found.items()}


def sql(database, org_id, statement, **values):
    with database.transaction(org_id) as tx:
        result = tx.execute(text(statement), values)
        return result.all() if result.returns_rows else []


def data_keys(database, org_id):
    with database.transaction(org_id) as tx:
        return service.status(tx, org_id)


def test_saved_secrets_open_again(database, keys, org_id):
    put(database, keys, org_id, client_secret="hush", refresh_token="häß\n$X")
    assert opened(database, keys, org_id) == {"client_secret": "hush", "refresh_token": "häß\n$X"}


def test_a_field_saved_again_moves_on_and_the_others_stay(database, keys, org_id):
    put(database, keys, org_id, a="1", b="2")
    put(database, keys, org_id, b="3")
    assert opened(database, keys, org_id) == {"a": "1", "b": "3"}
    with database.transaction(org_id) as tx:
        assert queries.versions(tx, org_id, ROW) == {"a": 1, "b": 2}


def test_saving_nothing_needs_no_key(database, org_id, tmp_path):
    put(database, KeyRing.load(None, tmp_path / "none"), org_id)
    assert data_keys(database, org_id) == []


def test_a_worker_can_save_once_the_organization_has_a_data_key(database, keys, org_id):
    put(database, keys, org_id, a="1")
    put(database, keys, org_id, role=Role.WORKER, a="2", access_token="t")
    assert opened(database, keys, org_id) == {"a": "2", "access_token": "t"}


def test_the_database_holds_no_value_in_clear(database, keys, org_id):
    put(database, keys, org_id, a="a-canary-in-the-vault")
    rows = sql(database, org_id, "SELECT s.*, k.* FROM orchestrator.vault_secrets s, orchestrator.vault_data_keys k")
    assert "a-canary-in-the-vault" not in str(rows)
    assert b"a-canary-in-the-vault" not in b"".join(part for row in rows for part in row if isinstance(part, bytes))


def test_describe_and_forget_need_no_key(database, keys, org_id):
    put(database, keys, org_id, a="1", b="2", c="3")
    with database.transaction(org_id) as tx:
        assert list(service.describe(tx, org_id, ROW)) == ["a", "b", "c"]
        assert all(at.tzinfo for at in service.describe(tx, org_id, ROW).values())
        assert service.forget(tx, org_id, ROW, ["a", "unknown"]) == 1
        assert list(service.describe(tx, org_id, ROW)) == ["b", "c"]
        assert service.forget(tx, org_id, ROW) == 2
        assert service.describe(tx, org_id, ROW) == {}


def test_another_organization_sees_and_opens_nothing(database, keys, org_id):
    put(database, keys, org_id, a="1")
    other = identity.ensure(database, "other").org_id
    assert opened(database, keys, other) == {}
    with database.transaction(other) as tx:
        assert service.open_all(tx, keys, org_id, ROW) == {}
        assert service.forget(tx, org_id, ROW) == 0
    assert opened(database, keys, org_id) == {"a": "1"}


def test_without_a_key_nothing_is_saved_opened_or_lost(database, keys, org_id, tmp_path):
    put(database, keys, org_id, a="1")
    keyless = KeyRing.load(None, tmp_path / "none")
    with pytest.raises(MissingKeyError):
        put(database, keyless, org_id, a="2")
    with pytest.raises(MissingKeyError):
        opened(database, keyless, org_id)
    with pytest.raises(MissingKeyError):
        service.rotate(database, keyless, [org_id])
    assert opened(database, keys, org_id) == {"a": "1"}


def test_a_wrong_key_is_refused_instead_of_beginning_anew(database, keys, org_id, tmp_path):
    put(database, keys, org_id, a="1")
    key_files.create_key_file(tmp_path / "wrong.key")
    wrong = KeyRing.load(None, tmp_path / "wrong.key")
    with pytest.raises(UnknownKeyError, match=keys.current):
        put(database, wrong, org_id, b="2")
    with pytest.raises(UnknownKeyError):
        opened(database, wrong, org_id)
    with pytest.raises(UnknownKeyError):
        service.rotate(database, wrong, [org_id])
    assert len(data_keys(database, org_id)) == 1
    assert opened(database, keys, org_id) == {"a": "1"}


def test_a_damaged_data_key_is_told_from_a_damaged_secret(database, keys, org_id):
    put(database, keys, org_id, a="1")
    sql(database, org_id, "UPDATE orchestrator.vault_data_keys SET version = version + 1")
    with pytest.raises(WrappedKeyDamagedError):
        opened(database, keys, org_id)


@pytest.mark.parametrize(
    "damage",
    [
        "blob = substring(blob from 1 for length(blob) - 1)",
        "blob = set_byte(blob, 20, get_byte(blob, 20) # 1)",
        "blob = ''",
        "version = version + 1",
        "field = 'b'",
        "owner_id = 'cred_2'",
        "owner_table = 'destinations'",
    ],
)
def test_a_secret_that_was_tampered_with_is_named_and_never_opened(database, keys, org_id, damage):
    put(database, keys, org_id, a="hush")
    sql(database, org_id, f"UPDATE orchestrator.vault_secrets SET {damage}")
    table, row, field = sql(database, org_id, "SELECT owner_table, owner_id, field FROM orchestrator.vault_secrets")[0]
    with pytest.raises(SecretDamagedError, match=f"{field} of {table} {row}") as caught:
        opened(database, keys, org_id, Owner(table=table, row_id=row))
    assert "hush" not in f"{caught.value!r}{caught.value.facts}"


def test_an_older_blob_put_back_does_not_open(database, keys, org_id):
    put(database, keys, org_id, a="old")
    (blob,) = sql(database, org_id, "SELECT blob FROM orchestrator.vault_secrets")[0]
    put(database, keys, org_id, a="new")
    sql(database, org_id, "UPDATE orchestrator.vault_secrets SET blob = :blob", blob=blob)
    with pytest.raises(SecretDamagedError):
        opened(database, keys, org_id)


def test_first_secrets_saved_at_once_share_one_data_key(database, keys, org_id):
    ready = threading.Barrier(8)

    def save(number):
        ready.wait()
        put(database, keys, org_id, Owner(table="t", row_id=f"row{number}"), a=str(number))

    run_all(save, range(8))
    assert [key.secrets for key in data_keys(database, org_id)] == [8]
    for number in range(8):
        assert opened(database, keys, org_id, Owner(table="t", row_id=f"row{number}")) == {"a": str(number)}


def test_concurrent_saves_of_one_row_are_all_counted(database, keys, org_id):
    put(database, keys, org_id, a="0")
    run_all(lambda number: put(database, keys, org_id, a=str(number), **{f"f{number}": "x"}), range(1, 9))
    with database.transaction(org_id) as tx:
        assert queries.versions(tx, org_id, ROW)["a"] == 9
    assert len(opened(database, keys, org_id)) == 9


def run_all(work, items):
    with ThreadPoolExecutor(len(items)) as pool:
        list(pool.map(work, items))


def fill(database, keys, org_id, rows):
    for number in range(rows):
        put(database, keys, org_id, Owner(table="t", row_id=f"row{number:03}"), a=f"a{number}", b=f"b{number}")


def test_rotation_moves_everything_to_the_new_keys_and_removes_the_old(database, keys, key_file, org_id):
    fill(database, keys, org_id, 5)
    before = data_keys(database, org_id)[0]
    newer = key_files.add_key(key_file)
    progress = []
    (done,) = service.rotate(database, KeyRing.load(None, key_file), [org_id], on_progress=progress.append, batch=3)
    assert (done.rewrapped, done.renewed, done.left, done.removed, done.damaged) == (1, 10, 0, 1, ())
    assert [step.left for step in progress] == [7, 4, 1, 0, 0]
    (after,) = data_keys(database, org_id)
    assert (after.master_key_id, after.secrets, after.active) == (newer, 10, True)
    assert after.id != before.id
    assert key_files.remove_unused(key_file, {after.master_key_id}) == (before.master_key_id,)
    left = KeyRing.load(None, key_file)
    for number in range(5):
        row = Owner(table="t", row_id=f"row{number:03}")
        assert opened(database, left, org_id, row) == {"a": f"a{number}", "b": f"b{number}"}


def test_rotation_of_an_organization_without_secrets_does_nothing(database, keys, org_id):
    (done,) = service.rotate(database, keys, [org_id])
    assert done.renewed == done.rewrapped == done.removed == 0
    assert data_keys(database, org_id) == []


class KilledError(Exception):
    pass


@pytest.mark.parametrize("step", range(1, 5))
def test_a_rotation_cut_short_anywhere_loses_nothing_and_is_finished_by_the_next(
    database, keys, key_file, org_id, step
):
    fill(database, keys, org_id, 4)
    key_files.add_key(key_file)
    steps = itertools.count(1)

    def die(_):
        if next(steps) == step:
            raise KilledError

    with pytest.raises(KilledError):
        service.rotate(database, keys, [org_id], on_progress=die, batch=3)
    begun = data_keys(database, org_id)[-1].id
    put(database, keys, org_id, Owner(table="t", row_id="row000"), a="changed meanwhile")
    assert opened(database, keys, org_id, Owner(table="t", row_id="row003")) == {"a": "a3", "b": "b3"}
    (done,) = service.rotate(database, keys, [org_id], batch=3)
    assert done.left == 0
    (only,) = data_keys(database, org_id)
    assert only.secrets == 8
    if step < 3:
        assert only.id == begun
    assert opened(database, keys, org_id, Owner(table="t", row_id="row000")) == {"a": "changed meanwhile", "b": "b0"}


def test_damaged_secrets_are_reported_and_stop_neither_this_rotation_nor_the_next(database, keys, org_id):
    fill(database, keys, org_id, 3)
    sql(database, org_id, "UPDATE orchestrator.vault_secrets SET blob = 'x' WHERE owner_id = 'row001' AND field = 'a'")
    for expected_renewed in (5, 5):
        (done,) = service.rotate(database, keys, [org_id], batch=2)
        assert [(place.owner.row_id, place.field) for place in done.damaged] == [("row001", "a")]
        assert (done.renewed, done.left) == (expected_renewed, 1)
    damaged, active = data_keys(database, org_id)
    assert (damaged.secrets, damaged.active, active.secrets, active.active) == (1, False, 5, True)
    put(database, keys, org_id, Owner(table="t", row_id="row001"), a="entered again")
    service.rotate(database, keys, [org_id])
    assert len(data_keys(database, org_id)) == 1


def test_a_secret_that_is_being_changed_is_waited_for(database, keys, org_id):
    """The quick pass goes around it; the rotation still ends with nothing under the old key."""
    fill(database, keys, org_id, 3)
    around = threading.Event()
    results = []
    with database.transaction(org_id) as tx:
        queries.under_other_keys(tx, org_id, org_id.replace("org_", "dek_"), after=None, limit=1, skip_busy=False)
        rotation = threading.Thread(
            target=lambda: results.extend(
                service.rotate(database, keys, [org_id], on_progress=lambda _: around.set(), batch=10)
            )
        )
        rotation.start()
        assert around.wait(20)
    rotation.join()
    assert results[0].left == 0
    assert len(data_keys(database, org_id)) == 1


def waiting_for_keys(database):
    """Whether somebody waits for an advisory lock."""
    with database.pool.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")) > 0


def test_a_data_key_is_not_taken_away_from_somebody_who_is_about_to_use_it(database, keys, org_id, monkeypatch):
    """A save that has read the data key and not yet written anything holds a whole rotation up."""
    put(database, keys, org_id, a="1")
    about_to, go_on, real = threading.Event(), threading.Event(), queries.lock_owner

    def held_up(*args):
        about_to.set()
        assert go_on.wait(20)
        real(*args)

    monkeypatch.setattr(queries, "lock_owner", held_up)
    with ThreadPoolExecutor(2) as pool:
        saving = pool.submit(put, database, keys, org_id, a="2")
        assert about_to.wait(20)
        rotation = pool.submit(service.rotate, database, keys, [org_id])
        while not rotation.done() and not waiting_for_keys(database):
            pass
        assert not rotation.done()
        go_on.set()
        saving.result()
        assert rotation.result()[0].left == 0
    assert opened(database, keys, org_id) == {"a": "2"}
    assert len(data_keys(database, org_id)) == 1


def write_on(database, keys, org_id, row, stop):
    """Save one field again and again; answers the last value saved."""
    number = 0
    while not stop.is_set():
        number += 1
        put(database, keys, org_id, row, a=str(number), role=Role.WORKER)
    return str(number)


def read_on(database, keys, org_id, rows, stop):
    """Open all rows again and again; answers every value seen of the field that nobody changes."""
    seen = set()
    while not stop.is_set():
        seen |= {opened(database, keys, org_id, row)["b"] for row in rows}
    return seen


def test_rotations_while_others_read_and_write_fail_nobody_and_lose_nothing(database, keys, key_file, org_id):
    rows = [Owner(table="t", row_id=f"row{number}") for number in range(4)]
    for row in rows:
        put(database, keys, org_id, row, a="0", b="same")
    stop = threading.Event()
    with ThreadPoolExecutor(6) as pool:
        writers = [pool.submit(write_on, database, keys, org_id, row, stop) for row in rows]
        readers = [pool.submit(read_on, database, keys, org_id, rows, stop) for _ in range(2)]
        try:
            for _ in range(3):
                key_files.add_key(key_file)
                assert service.rotate(database, KeyRing.load(None, key_file), [org_id], batch=2)[0].damaged == ()
        finally:
            stop.set()
    assert [reader.result() for reader in readers] == [{"same"}, {"same"}]
    for row, writer in zip(rows, writers, strict=True):
        assert opened(database, keys, org_id, row) == {"a": writer.result(), "b": "same"}
    service.rotate(database, keys, [org_id])
    assert [key.secrets for key in data_keys(database, org_id)] == [8]


def test_a_rotation_of_the_installation_tells_how_far_it_is(drivers, database, org_id):
    other = identity.ensure(database, "other").org_id
    put(database, drivers.keys, org_id, first="one", second="two")
    put(database, drivers.keys, other, first="three")
    told = []
    done = service.rotate_keys(drivers, on_progress=lambda renewed, total: told.append((renewed, total)))
    assert told[-1] == (3, 3)
    assert told == sorted(told)
    assert [one.renewed for one in done.organizations] == [2, 1]
    assert done.master_key == drivers.keys.current
