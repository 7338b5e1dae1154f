import secrets as random

import pytest
from pydantic import SecretStr

from orchestrator.domains.vault import service
from orchestrator.domains.vault.types import Owner
from orchestrator.drivers.keys import KeyRing

OWNER = Owner(table="integration_credentials", row_id="cred_x")


@pytest.fixture
def saved(drivers, database, place):
    """A stored secret."""
    with database.transaction(place.org_id) as tx:
        service.put(tx, drivers.keys, place.org_id, OWNER, {"auth.token": SecretStr("once upon a time")})


@pytest.fixture
def opens(drivers, database, place):
    """What the stored secret is, opened by a process that begins now."""

    def value():
        ring = KeyRing.load(drivers.settings.encryption_key, drivers.settings.key_file)
        with database.transaction(place.org_id) as tx:
            return service.open_all(tx, ring, place.org_id, OWNER)["auth.token"].get_secret_value()

    return value


def given(drivers, *texts):
    """The same installation with its master keys in the environment."""
    changed = drivers.settings.model_copy(update={"encryption_key": SecretStr(",".join(texts))})
    drivers.settings = changed
    drivers.__dict__.pop("keys", None)


def test_the_status_shows_what_hangs_on_which_key(command, saved, drivers, place):
    answer = command("secrets", "status", "--json")
    [master], [data] = answer.json["master_keys"], answer.json["data_keys"]
    assert answer.code == 0
    assert master == {"id": drivers.keys.current, "source": master["source"], "current": True, "data_keys": 1}
    assert str(drivers.settings.key_file) in master["source"]
    assert (data["organization"], data["secrets"], data["active"]) == (place.org_id, 1, True)
    assert data["master_key_here"]


def test_the_status_needs_no_key_and_says_that_it_is_missing(command, saved, drivers):
    drivers.settings.key_file.unlink()
    drivers.__dict__.pop("keys", None)
    answer = command("secrets", "status")
    assert answer.code == 0
    assert "There is no master key here." in answer.err
    assert "1 secret can't be opened" in answer.err
    assert "(not here)" in answer.out


def test_an_unusable_key_file_is_told_beside_the_status(command, saved, drivers):
    drivers.settings.key_file.chmod(0o644)
    drivers.__dict__.pop("keys", None)
    answer = command("secrets", "status")
    assert answer.code == 0
    assert "can be read or changed by others" in answer.err
    assert "active" in answer.out


def test_rotation_makes_a_new_key_and_drops_the_old_one(command, saved, drivers, opens):
    before = drivers.keys.current
    answer = command("secrets", "rotate-key", "--json")
    assert answer.code == 0
    assert answer.json["master_key"] != before
    assert answer.json["master_keys_removed"] == [before]
    assert (answer.json["data_keys_rewrapped"], answer.json["secrets_renewed"]) == (1, 1)
    assert [key.id for key in KeyRing.load(None, drivers.settings.key_file).keys] == [answer.json["master_key"]]
    assert opens() == "once upon a time"


def test_rotation_tells_people_to_back_the_new_file_up(command, saved, drivers):
    answer = command("secrets", "rotate-key")
    assert answer.code == 0
    assert "secrets renewed" in answer.out
    assert f"Back up {drivers.settings.key_file}" in answer.err


def test_a_key_of_the_environment_is_the_operators_to_change(command, saved, drivers):
    [line] = drivers.settings.key_file.read_text().split()
    drivers.settings.key_file.unlink()
    given(drivers, line)
    answer = command("secrets", "rotate-key")
    assert (answer.code, answer.out) == (2, "")
    assert "new,old" in answer.err
    assert line not in answer.err


def test_two_keys_in_the_environment_are_rotated_to_the_first(command, saved, drivers, opens):
    [old] = drivers.settings.key_file.read_text().split()
    old_id = drivers.keys.current
    drivers.settings.key_file.unlink()
    new = random.token_bytes(32).hex()
    given(drivers, new, old)
    answer = command("secrets", "rotate-key")
    assert answer.code == 0
    assert f"Nothing needs master key {old_id} any more" in answer.err
    given(drivers, new)
    assert opens() == "once upon a time"


def test_rotation_without_any_key_says_so_and_makes_none(command, drivers):
    drivers.settings.key_file.unlink()
    drivers.__dict__.pop("keys", None)
    answer = command("secrets", "rotate-key")
    assert answer.code == 8
    assert "There is no master key" in answer.err
    assert not drivers.settings.key_file.exists()


def test_a_damaged_secret_is_named_and_left_as_it_is(command, saved, database, place):
    from sqlalchemy import text

    with database.transaction(place.org_id) as tx:
        tx.execute(text("UPDATE orchestrator.vault_secrets SET blob = set_byte(blob, 40, 255 - get_byte(blob, 40))"))
    answer = command("secrets", "rotate-key", "--json")
    assert answer.code == 0
    assert [one["field"] for one in answer.json["damaged"]] == ["auth.token"]
    assert "auth.token of integration_credentials cred_x is damaged" in answer.err


def test_a_rotation_shows_a_bar_to_a_person(terminal, github):
    screen = terminal("secrets", "rotate-key")
    screen.expect("secrets renewed")
    assert screen.ended() == 0


def test_a_database_that_is_away_leaves_the_key_file_alone(command, drivers, monkeypatch):
    from orchestrator.kernel.db import Database, engine

    before = drivers.settings.key_file.read_bytes()
    away = Database(engine(SecretStr("postgresql://nobody@127.0.0.1:9/nothing")))
    monkeypatch.setitem(drivers.__dict__, "db", away)
    answer = command("secrets", "rotate-key")
    assert answer.code == 75
    assert drivers.settings.key_file.read_bytes() == before
