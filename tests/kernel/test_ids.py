from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.kernel import ids


@given(st.uuids())
def test_every_uuid_survives_the_way_to_text_and_back(value: UUID):
    assert ids.decode("run", ids.encode("run", value)) == value


def test_ids_made_one_after_another_sort_in_that_order(monkeypatch):
    monkeypatch.setattr("time.time_ns", iter(range(10**18, 10**18 + 10**9, 10**7)).__next__)
    made = [ids.new("int") for _ in range(100)]
    assert made == sorted(made)
    assert len(set(made)) == 100


def test_a_fresh_id_is_a_uuid_of_version_7():
    value = ids.uuid7()
    assert (value.version, value.variant) == (7, "specified in RFC 4122")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("run_01m7ykybk6eg6829asqr3kgmz5", id="another kind"),
        pytest.param("int_01m7ykybk6eg6829asqr3kgmz", id="too short"),
        pytest.param("int_01m7ykybk6eg6829asqr3kgmzu", id="a letter the alphabet leaves out"),
        pytest.param("int_81m7ykybk6eg6829asqr3kgmz5", id="larger than 128 bits"),
        pytest.param("", id="empty"),
    ],
)
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match="int_"):
        ids.decode("int", text)


@given(st.uuids(), st.integers(1, 26))
def test_bounds_enclose_every_id_with_that_beginning(value, length):
    text = ids.encode("run", value)
    low, high = ids.bounds("run", text[: 4 + length])
    assert low <= value <= high


def test_bounds_of_a_beginning_exclude_other_beginnings():
    low, high = ids.bounds("int", "int_01a")
    assert ids.encode("int", low).startswith("int_01a")
    assert ids.encode("int", high).startswith("int_01a")
    assert not low <= ids.decode("int", "int_01b" + "0" * 23) <= high
