import base64
import os
import pickle
import threading

import pytest
from pydantic import SecretStr

from orchestrator.drivers.keys import (
    InvalidKeyError,
    KeyFileError,
    KeyFileExistsError,
    KeyRing,
    MissingKeyError,
    UnknownKeyError,
    WrappedKeyDamagedError,
    add_key,
    create_key_file,
    remove_unused,
)

RAW = bytes(range(200, 232))
DATA_KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "master.key"


def ring(*raw, path):
    return KeyRing.load(SecretStr(",".join(key.hex() for key in raw)) if raw else None, path)


@pytest.mark.parametrize(
    "text",
    [
        RAW.hex(),
        RAW.hex().upper(),
        base64.b64encode(RAW).decode(),
        base64.b64encode(RAW).decode().rstrip("="),
        base64.urlsafe_b64encode(RAW).decode(),
        base64.urlsafe_b64encode(RAW).decode().rstrip("="),
        f"  {RAW.hex()}\n",
        f"{RAW.hex()},",
    ],
)
def test_every_usual_spelling_is_the_same_key(text, path):
    assert KeyRing.load(SecretStr(text), path).current == ring(RAW, path=path).current


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (",,", "empty"),
        ("hunter2-hunter2", "15 characters"),
        (RAW.hex()[:-2], "62 characters"),
        (RAW.hex() + "00", "66 characters"),
        (base64.b64encode(RAW + b"x").decode(), "44 characters"),
        ("päßwörd", "neither hex nor base64"),
        (f"{RAW.hex()},hunter2-hunter2", "15 characters"),
    ],
)
def test_a_key_that_does_not_fit_is_refused_without_showing_it(text, problem, path):
    with pytest.raises(InvalidKeyError) as caught:
        KeyRing.load(SecretStr(text), path)
    assert problem in caught.value.message
    assert "INTEGRATION_ENCRYPTION_KEY" in caught.value.message
    shown = f"{caught.value!r} {caught.value.hint} {caught.value.facts}"
    assert not any(part in shown for part in (RAW.hex()[:16], "hunter2", "päßwörd"))


def test_the_first_key_wraps_and_all_unwrap(path):
    older, newer = ring(RAW, path=path), ring(DATA_KEY, RAW, path=path)
    wrapped = older.wrap(DATA_KEY, b"aad")
    assert newer.current != older.current
    assert newer.unwrap(wrapped.key_id, wrapped.blob, b"aad") == DATA_KEY
    assert newer.wrap(DATA_KEY, b"aad").key_id == newer.current


def test_an_id_is_sixteen_hex_digits_that_are_no_part_of_the_key(path):
    key = ring(RAW, path=path).current
    assert len(key) == 16
    assert bytes.fromhex(key) not in RAW


def test_without_any_key_the_ring_exists_and_everything_fails_closed_naming_both_ways(path):
    empty = KeyRing.load(None, path)
    assert not empty
    for use in (lambda: empty.current, lambda: empty.wrap(DATA_KEY, b""), lambda: empty.unwrap("0" * 16, b"", b"")):
        with pytest.raises(MissingKeyError) as caught:
            use()
        assert "INTEGRATION_ENCRYPTION_KEY" in caught.value.hint
        assert str(path) in caught.value.hint
        assert caught.value.exit_code == 8


def test_a_key_that_is_not_here_is_named(path):
    stranger = ring(DATA_KEY, path=path).wrap(DATA_KEY, b"")
    with pytest.raises(UnknownKeyError, match=stranger.key_id):
        ring(RAW, path=path).unwrap(stranger.key_id, stranger.blob, b"")


def test_damaged_moved_or_relabelled_wrappings_do_not_open(path):
    both = ring(RAW, DATA_KEY, path=path)
    wrapped = both.wrap(b"k" * 32, b"here")
    other = both.keys[1].id
    for key_id, blob, aad in (
        (wrapped.key_id, wrapped.blob, b"there"),
        (wrapped.key_id, wrapped.blob[:-1], b"here"),
        (wrapped.key_id, wrapped.blob[:-1] + bytes([wrapped.blob[-1] ^ 1]), b"here"),
        (wrapped.key_id, b"", b"here"),
        (other, wrapped.blob, b"here"),
    ):
        with pytest.raises(WrappedKeyDamagedError):
            both.unwrap(key_id, blob, aad)


def test_nothing_printed_or_pickled_shows_a_key(path):
    keys = ring(RAW, path=path)
    shown = f"{keys!r} {keys.keys!r}"
    assert keys.current in shown
    assert RAW.hex() not in shown
    with pytest.raises(TypeError):
        pickle.dumps(keys)


def test_a_key_file_is_private_and_never_overwritten(path):
    made = create_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    before = path.read_bytes()
    with pytest.raises(KeyFileExistsError):
        create_key_file(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["master.key"]
    assert KeyRing.load(None, path).current == made


def test_of_many_who_make_the_key_file_one_wins(path):
    made, refused = [], []

    def make():
        try:
            made.append(create_key_file(path))
        except KeyFileExistsError as error:
            refused.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(refused) == 7
    assert KeyRing.load(None, path).current == made[0]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_others_can_reach_is_refused_with_the_fix(path, mode):
    create_key_file(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError) as caught:
        KeyRing.load(None, path)
    assert caught.value.hint == f"chmod 600 {path}"


def test_a_file_nobody_can_read_as_keys_is_refused_without_content(path):
    path.parent.mkdir()
    for content, problem in ((b"", "holds no key"), (b"# only a note\n", "holds no key"), (b"\xff\xfe", "not text")):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(KeyFileError, match=problem):
            KeyRing.load(None, path)
    path.write_text(f"{RAW.hex()}\nhunter2\n")
    with pytest.raises(InvalidKeyError, match="line 2") as caught:
        KeyRing.load(None, path)
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


def test_a_folder_in_the_place_of_the_file_is_refused(path):
    path.mkdir(parents=True)
    with pytest.raises(KeyFileError, match="is not a file"):
        KeyRing.load(None, path)


def test_a_file_of_another_user_is_refused_with_the_reason(path, monkeypatch):
    create_key_file(path)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(KeyFileError, match="Permission denied"):
        KeyRing.load(None, path)


def test_a_new_key_goes_first_and_older_ones_stay(path):
    first = create_key_file(path)
    wrapped = KeyRing.load(None, path).wrap(DATA_KEY, b"")
    second = add_key(path)
    keys = KeyRing.load(None, path)
    assert [key.id for key in keys.keys] == [second, first]
    assert keys.unwrap(wrapped.key_id, wrapped.blob, b"") == DATA_KEY
    assert path.stat().st_mode & 0o777 == 0o600


def test_keys_added_at_the_same_time_are_all_kept(path):
    create_key_file(path)
    threads = [threading.Thread(target=add_key, args=(path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(KeyRing.load(None, path).keys) == 9


def test_a_running_process_follows_a_rotation_of_the_file(path):
    create_key_file(path)
    long_running = KeyRing.load(None, path)
    newer = add_key(path)
    wrapped = KeyRing.load(None, path).wrap(DATA_KEY, b"")
    assert long_running.unwrap(wrapped.key_id, wrapped.blob, b"") == DATA_KEY
    newest = add_key(path)
    assert newest != newer
    assert long_running.wrap(DATA_KEY, b"").key_id == newest


def test_a_file_that_vanishes_takes_no_key_from_a_running_process(path):
    create_key_file(path)
    keys = KeyRing.load(None, path)
    wrapped = keys.wrap(DATA_KEY, b"")
    path.unlink()
    keys.reload()
    assert keys.unwrap(wrapped.key_id, wrapped.blob, b"") == DATA_KEY


def test_unused_keys_are_removed_but_never_the_current_one(path):
    first = create_key_file(path)
    second = add_key(path)
    third = add_key(path)
    assert remove_unused(path, {first}) == (second,)
    assert [key.id for key in KeyRing.load(None, path).keys] == [third, first]
    assert remove_unused(path, set()) == (first,)
    assert remove_unused(path, set()) == ()


def test_adding_to_a_file_that_is_not_there_says_so(path):
    with pytest.raises(KeyFileError, match="can't be reached"):
        add_key(path)
    path.parent.mkdir()
    with pytest.raises(KeyFileError, match="can't be read"):
        add_key(path)


def test_keys_of_the_setting_come_before_those_of_the_file(path):
    in_file = create_key_file(path)
    keys = ring(RAW, path=path)
    assert [key.id for key in keys.keys][1:] == [in_file]
    assert keys.keys[0].source == "INTEGRATION_ENCRYPTION_KEY"


def test_a_key_file_of_another_user_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "master.key"
    create_key_file(path)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(KeyFileError, match="belongs to another user") as caught:
        KeyRing.load(None, path)
    assert "chown" in caught.value.hint
