"""Record ids."""

from sandboxes.salesforce import ids


def test_the_checksum_marks_capitals_five_by_five():
    # two ids printed in Salesforce's own documentation
    assert "005R0000000Giwj" + ids.checksum("005R0000000Giwj") == "005R0000000GiwjIAC"
    assert "750R0000000zxr8" + ids.checksum("750R0000000zxr8") == "750R0000000zxr8IAA"


def test_a_span_of_ids_is_what_each_serial_gives_across_blocks():
    assert ids.span("003", 3_800, 7_800) == [ids.make("003", n) for n in range(3_800, 7_800)]


def test_a_15_character_id_widens_and_other_text_does_not():
    whole = ids.make("001", 77)
    assert ids.widen(whole[:15]) == whole
    assert ids.widen("Hello, world 15") == "Hello, world 15"
