import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.kernel.sealing import OVERHEAD, SealBrokenError, context, derived, seal, unseal

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


@given(key=st.binary(min_size=32, max_size=32), value=st.binary(max_size=2000), bound_to=st.binary(max_size=200))
def test_what_is_sealed_opens_with_the_same_key_and_context(key, value, bound_to):
    assert unseal(key, seal(key, value, bound_to), bound_to) == value


def test_no_bit_can_be_flipped_anywhere():
    sealed = seal(KEY, b"hush", b"here")
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBrokenError):
            unseal(KEY, bytes(changed), b"here")


def test_nothing_can_be_cut_off_or_added():
    sealed = seal(KEY, b"hush", b"here")
    for length in range(len(sealed)):
        with pytest.raises(SealBrokenError):
            unseal(KEY, sealed[:length], b"here")
    for changed in (sealed + b"\0", b"\0" + sealed, sealed[1:]):
        with pytest.raises(SealBrokenError):
            unseal(KEY, changed, b"here")


@pytest.mark.parametrize(("key", "bound_to"), [(OTHER, b"here"), (KEY, b"there"), (KEY, b""), (KEY, b"here\0")])
def test_another_key_or_context_does_not_open(key, bound_to):
    with pytest.raises(SealBrokenError):
        unseal(key, seal(KEY, b"hush", b"here"), bound_to)


def test_two_seals_of_one_value_differ_and_are_as_long_as_they_must_be():
    first, second = seal(KEY, b"hush", b"here"), seal(KEY, b"hush", b"here")
    assert first != second
    assert len(first) == len(second) == OVERHEAD + 4


def test_the_commitment_is_checked_even_where_the_cipher_would_accept():
    """A ciphertext made to fit another commitment fails, although its tag is right."""
    sealed = bytearray(seal(KEY, b"hush", b"here"))
    sealed[1:33] = seal(OTHER, b"hush", b"here")[1:33]
    with pytest.raises(SealBrokenError):
        unseal(KEY, bytes(sealed), b"here")


@given(st.lists(st.text(max_size=8), max_size=5), st.lists(st.text(max_size=8), max_size=5))
def test_different_parts_never_give_the_same_context(left, right):
    assert (context(*left) == context(*right)) == (left == right)


def test_derived_bytes_depend_on_key_and_purpose():
    assert len({derived(KEY, b"a", 8), derived(KEY, b"b", 8), derived(OTHER, b"a", 8)}) == 3
