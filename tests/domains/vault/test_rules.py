import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from orchestrator.domains.vault import rules
from orchestrator.domains.vault.errors import SecretDamagedError
from orchestrator.domains.vault.types import Owner, Place, Stored
from orchestrator.kernel import ids

ORG, OTHER_ORG = ids.new("org"), ids.new("org")
KEY = rules.new_data_key(1)


def place(org_id=ORG, table="integration_credentials", row_id="cred_1", field="auth.client_secret", version=1):
    return Place(org_id=org_id, owner=Owner(table=table, row_id=row_id), field=field, version=version)


@given(
    value=st.text(st.characters(), max_size=500),
    table=st.text(max_size=20),
    row_id=st.text(max_size=20),
    field=st.text(max_size=20),
    version=st.integers(1, 2**31 - 1),
)
def test_any_value_opens_again_at_its_place(value, table, row_id, field, version):
    at = place(table=table, row_id=row_id, field=field, version=version)
    assert rules.decrypted(KEY, rules.encrypted(KEY, at, SecretStr(value))).get_secret_value() == value


def test_half_a_character_survives_too():
    stored = rules.encrypted(KEY, place(), SecretStr("\ud800"))
    assert rules.decrypted(KEY, stored).get_secret_value() == "\ud800"


def test_no_bit_of_a_blob_can_be_flipped():
    stored = rules.encrypted(KEY, place(), SecretStr("hush"))
    for bit in range(len(stored.blob) * 8):
        changed = bytearray(stored.blob)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SecretDamagedError):
            rules.decrypted(KEY, replace(stored, blob=bytes(changed)))


def test_a_blob_cut_anywhere_does_not_open():
    stored = rules.encrypted(KEY, place(), SecretStr("hush"))
    for length in range(len(stored.blob)):
        with pytest.raises(SecretDamagedError):
            rules.decrypted(KEY, replace(stored, blob=stored.blob[:length]))


def test_a_blob_opens_at_no_other_place():
    """Every pair of 48 places that differ in organization, table, row, field and version; also ones that join alike."""
    places = [
        place(*parts)
        for parts in itertools.product((ORG, OTHER_ORG), ("a", "ab"), ("b", "bb"), ("x.y", "x"), (1, 2, 11))
    ]
    blobs = [rules.encrypted(KEY, at, SecretStr(f"value {n}")).blob for n, at in enumerate(places)]
    for (mine, at), (theirs, blob) in itertools.product(enumerate(places), enumerate(blobs)):
        stored = Stored(place=at, data_key_id=KEY.id, blob=blob)
        if mine == theirs:
            assert rules.decrypted(KEY, stored).get_secret_value() == f"value {mine}"
        else:
            with pytest.raises(SecretDamagedError):
                rules.decrypted(KEY, stored)


def test_another_data_key_does_not_open_it_even_under_the_same_id():
    stored = rules.encrypted(KEY, place(), SecretStr("hush"))
    stranger = rules.new_data_key(2)
    for key, blob in (
        (stranger, stored),
        (replace(stranger, id=KEY.id), stored),
        (KEY, replace(stored, data_key_id=stranger.id)),
    ):
        with pytest.raises(SecretDamagedError):
            rules.decrypted(key, blob)


def test_the_error_names_the_place_and_nothing_of_the_content():
    stored = rules.encrypted(KEY, place(), SecretStr("hush-content"))
    with pytest.raises(SecretDamagedError) as caught:
        rules.decrypted(KEY, replace(stored, blob=stored.blob[:-1]))
    text = f"{caught.value!r} {caught.value.message} {caught.value.hint} {caught.value.facts}"
    assert "auth.client_secret of integration_credentials cred_1" in text
    assert "hush-content" not in text
    assert caught.value.exit_code == 8


def test_nothing_printed_shows_a_key_or_a_value():
    assert KEY.secret.get_secret_value() not in repr(KEY)
    assert rules.raw(KEY) not in repr(rules.encrypted(KEY, place(), SecretStr("hush"))).encode()
