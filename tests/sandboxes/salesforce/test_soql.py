"""Reading SOQL."""

import pytest

from sandboxes.salesforce.errors import ApiError
from sandboxes.salesforce.soql import Aggregate, Comparison, Junction, Not, parse, unquote


def test_a_whole_query_is_read():
    q = parse(
        "select Id, Name from Account where (Name != null and CreatedDate >= 2024-01-01T00:00:00Z) "
        "order by Name desc nulls last, Id limit 10 offset 5"
    )
    assert [f.text for f in q.fields] == ["Id", "Name"]
    assert q.sobject.text == "Account"
    assert isinstance(q.where, Junction)
    assert [(o.field.text, o.descending, o.nulls_last) for o in q.order] == [("Name", True, True), ("Id", False, False)]
    assert (q.limit, q.offset) == (10, 5)


def test_counting_is_told_from_counting_a_field():
    assert parse("SELECT COUNT() FROM Account").counts
    (item,) = parse("SELECT MAX(SystemModstamp) newest FROM Account").fields
    assert isinstance(item, Aggregate)
    assert (item.function, item.alias) == ("MAX", "newest")


def test_not_binds_tighter_than_and():
    where = parse("SELECT Id FROM A WHERE NOT Name = 'x' AND Name LIKE 'y%'").where
    assert isinstance(where, Junction)
    assert isinstance(where.parts[0], Not)
    assert isinstance(where.parts[1], Comparison)


@pytest.mark.parametrize(
    ("written", "meant"),
    [(r"'O\'Brien'", "O'Brien"), (r"'a\\b'", "a\\b"), (r"'x\ny'", "x\ny"), (r"'100\%'", "100\\%"), ("'é'", "é")],
)
def test_escapes_in_strings_are_resolved(written, meant):
    assert unquote(written) == meant


@pytest.mark.parametrize(
    ("text", "row", "column", "message"),
    [
        ("SELECT Id FORM Account", 1, 11, "unexpected token: 'FORM'"),
        ("SELECT Id\nFROM Account WHERE", 2, 19, "unexpected token: '<EOF>'"),
        ("SELECT FROM Account", 1, 13, "unexpected token: 'Account'"),
        ("SELECT Id FROM A WHERE B = 'x", 1, 28, "unexpected token: '''"),
        ("SELECT Id FROM A WHERE B = 1 AND C = 2 OR D = 3", 1, 40, "unexpected token: 'OR'"),
        ("SELECT Id FROM A LIMIT -1", 1, 24, "unexpected token: '-1'"),
        ("SELECT Id FROM A; DELETE", 1, 17, "unexpected token: ';'"),
        ("SELECT SUM(x) FROM A", 1, 11, "unexpected token: '('"),
        ("SELECT Id FROM A GROUP BY B", 1, 18, "unexpected token: 'GROUP'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text, row, column, message):
    with pytest.raises(ApiError) as refused:
        parse(text)
    assert refused.value.code == "MALFORMED_QUERY"
    assert refused.value.message.endswith(f"ERROR at Row:{row}:Column:{column}\n{message}")


def test_a_query_over_100_000_characters_is_refused():
    with pytest.raises(ApiError, match="longer than 100000"):
        parse("SELECT " + ", ".join(f"Field{n}__c" for n in range(10_000)) + " FROM A")
