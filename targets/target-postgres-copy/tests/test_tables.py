"""Tables that change: new and wider columns, other keys, what somebody did by hand, names of every sort."""

import re

import pytest
from copydesk import Batches, Load, Warehouse, record, schema, state

from target_postgres_copy.errors import DestinationError, LoadError, MisfitError
from target_postgres_copy.kinds import Kind, kind_of, widened

TEXT = {"type": ["string", "null"]}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"type": "integer"}, Kind.BIGINT),
        ({"type": ["null", "number"]}, Kind.NUMERIC),
        ({"type": ["integer", "number"]}, Kind.NUMERIC),
        ({"type": ["boolean", "null"]}, Kind.BOOLEAN),
        ({"type": ["string", "integer"]}, Kind.TEXT),
        ({"type": ["boolean", "integer"]}, Kind.TEXT),
        ({"type": ["object", "string"]}, Kind.JSONB),
        ({"type": "array", "items": {"type": "string"}}, Kind.JSONB),
        ({"type": "string", "format": "date"}, Kind.DATE),
        ({"type": ["string", "null"], "format": "date-time"}, Kind.TIMESTAMP),
        ({"type": "string", "format": "time"}, Kind.TIME),
        ({"type": "string", "format": "uuid"}, Kind.UUID),
        ({"type": "string", "format": "email"}, Kind.TEXT),
        ({"type": "string", "format": "x-singer.decimal"}, Kind.NUMERIC),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": ["string", "null"]}]}, Kind.TIMESTAMP),
        ({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}, Kind.TIMESTAMP),
        ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, Kind.BIGINT),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, Kind.TEXT),
        ({}, Kind.TEXT),
        (True, Kind.TEXT),
        ({"type": "null"}, Kind.TEXT),
        ({"enum": ["a"]}, Kind.TEXT),
    ],
)
def test_a_property_has_the_type_that_holds_it(said: object, kind: Kind) -> None:
    assert kind_of(said) is kind


@pytest.mark.parametrize(
    ("existing", "wanted", "becomes"),
    [
        ("integer", Kind.BIGINT, "bigint"),
        ("bigint", Kind.NUMERIC, "numeric"),
        ("numeric(10,2)", Kind.NUMERIC, "numeric"),
        ("numeric", Kind.TEXT, "text"),
        ("boolean", Kind.BIGINT, "text"),
        ("date", Kind.TIMESTAMP, "timestamp with time zone"),
        ("character varying(20)", Kind.TEXT, "text"),
        ("jsonb", Kind.TEXT, "text"),
        ("bigint", Kind.BIGINT, None),
        ("numeric", Kind.BIGINT, None),
        ("text", Kind.JSONB, None),
        ("character varying", Kind.TEXT, None),
        ("timestamp without time zone", Kind.TIMESTAMP, None),
        ("timestamp(3) with time zone", Kind.TIMESTAMP, None),
        ("timestamp with time zone", Kind.DATE, None),
        ("text[]", Kind.JSONB, None),
        ("public.mood", Kind.TEXT, None),
    ],
)
def test_a_column_is_widened_only_where_it_must(existing: str, wanted: Kind, becomes: str | None) -> None:
    assert widened(existing, wanted) == becomes


def test_columns_are_added_and_widened_with_each_change_logged(
    load: Load, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    load(
        schema("T", N={"type": "integer"}, D={"type": "string", "format": "date"}),
        record("T", Id="1", N=7, D="2024-01-02"),
    )
    caplog.clear()
    caplog.set_level("INFO", "target-postgres-copy")
    later = {"N": {"type": "number"}, "D": {"type": "string", "format": "date-time"}, "New": TEXT}
    load(schema("T", **later), record("T", Id="2", N=7.25, D="2024-01-02T10:00:00+02:00", New="n"))
    assert len(re.findall("DDL: ALTER TABLE", caplog.text)) == 3
    load(schema("T", N=TEXT, D=TEXT, New={"type": "object"}), record("T", Id="3", N="many", D="never", New={"a": 1}))
    assert [row[:2] for row in warehouse.rows("T", "Id", "N")] == [("1", "7"), ("2", "7.25"), ("3", "many")]
    assert {warehouse.types("T")[name] for name in ("N", "D", "New")} == {"text"}
    assert warehouse.rows("T", "Id", "D")[1] == ("2", "2024-01-02 08:00:00+00")
    assert warehouse.rows("T", "Id", "New")[2] == ("3", '{"a": 1}')


def test_what_makes_keys_and_replaces_a_table_is_logged_too(
    load: Load, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "target-postgres-copy")
    rows = [record("T", Id="1"), state(1)]
    load(schema("T"), *rows)
    first = re.findall("DDL: (.*)", caplog.text)
    assert [line.split(f'"{warehouse.schema}"')[0].strip() for line in first[:2]] == ["CREATE SCHEMA", "CREATE TABLE"]
    assert any("PRIMARY KEY" in line for line in first)
    caplog.clear()
    load(schema("T"), *rows, load_method="overwrite")
    *made, dropped, renamed = re.findall("DDL: (.*)", caplog.text)
    assert made[0].startswith("CREATE TABLE") and any("PRIMARY KEY" in line for line in made)
    assert dropped == f'DROP TABLE "{warehouse.schema}"."T"'
    assert renamed.startswith("ALTER TABLE") and renamed.endswith('RENAME TO "T"')
    caplog.clear()
    load(schema("T", ("Other",), Other=TEXT), state(2), load_method="overwrite")
    assert f'DDL: ALTER TABLE "{warehouse.schema}"' in caplog.text and 'ADD PRIMARY KEY ("Other")' in caplog.text


def test_a_field_that_is_gone_leaves_its_column_and_null(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    load(schema("T", A=TEXT, B=TEXT), record("T", Id="1", A="a", B="b"))
    load(schema("T", A=TEXT), batches.csv("T", "Id,A\n1,x\n2,y\n"))
    assert warehouse.rows("T", "Id", "A", "B") == [("1", "x", "b"), ("2", "y", None)]


def test_a_schema_may_change_in_the_middle_of_a_run(load: Load, warehouse: Warehouse) -> None:
    first, then = schema("T", A={"type": "integer"}), schema("T", A={"type": "number"}, B=TEXT)
    said = load(first, record("T", Id="1", A=1), state(1), then, record("T", Id="2", A=1.5, B="b"), state(2), then)
    assert said[-1] == 2
    assert [(key, str(a), b) for key, a, b in warehouse.rows("T", "Id", "A", "B")] == [
        ("1", "1", None),
        ("2", "1.5", "b"),
    ]


def test_rows_from_before_a_change_of_the_schema_are_older_than_those_behind_it(
    load: Load, warehouse: Warehouse
) -> None:
    before = record("T", Id="1", A="old")
    later = [record("T", Id="1", A="new", B="b"), record("T", Id="2", A="new", B="b")]
    load(schema("T", A=TEXT), before, schema("T", A=TEXT, B=TEXT), *later, batch_size_rows=2)
    assert warehouse.rows("T", "Id", "A", "B") == [("1", "new", "b"), ("2", "new", "b")]


def test_another_key_replaces_the_primary_key(load: Load, warehouse: Warehouse) -> None:
    facts = {"Id": {"type": "string"}, "Mail": {"type": "string"}}
    load(schema("T", ("Id",), Mail=facts["Mail"]), record("T", Id="1", Mail="a@x"), record("T", Id="2", Mail="b@x"))
    load(schema("T", ("Mail",), **facts), record("T", Id="9", Mail="a@x"), record("T", Mail="c@x"))
    assert warehouse.rows("T", "Mail", "Id") == [("a@x", "9"), ("b@x", "2"), ("c@x", None)]


def test_duplicates_that_are_in_the_way_of_a_key_are_explained(load: Load, warehouse: Warehouse) -> None:
    load(schema("T"), record("T", Id="1"), record("T", Id="1"), load_method="append-only")
    with pytest.raises(DestinationError, match="holds rows with the same Id") as raised:
        load(schema("T"), record("T", Id="1"))
    assert raised.value.remedy == "full_refresh"
    assert warehouse.count("T") == 2


def test_a_table_of_meltanolabs_is_taken_over(load: Load, warehouse: Warehouse) -> None:
    warehouse.run("CREATE SCHEMA {}")
    warehouse.run(
        'CREATE TABLE {}."T" ("Id" text PRIMARY KEY, n smallint, at timestamp, tags text[], counts bigint[],'
        ' anything jsonb[], u uuid, "_sdc_extracted_at" timestamp, "_sdc_deleted_at" timestamp)'
    )
    facts = {
        "n": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}, "tags": {"type": ["array", "null"]},
        "counts": {"type": "array"}, "anything": {"type": "array"}, "u": {"type": "string", "format": "uuid"},
    }  # fmt: skip
    uuid = "6f1c3a3e-57c5-4f0e-8f63-1f2a3b4c5d6e"
    rows = [
        record("T", Id="1", n=70000, at="2024-01-02T03:04:05+02:00", tags=['a"', "b,c"], counts=[1, 2**40], anything=[{"x": 1}], u=uuid),
        record("T", Id="2", tags=[], counts=[None]),
    ]  # fmt: skip
    load(schema("T", **facts), *rows)
    found = warehouse.rows("T", "Id", "n", "at", "tags", "counts", "anything")
    assert [str(value) for value in found[0]] == [
        "1", "70000", "2024-01-02 01:04:05", "['a\"', 'b,c']", "[1, 1099511627776]", "[{'x': 1}]",
    ]  # fmt: skip
    assert found[1][3:5] == ([], [None])
    assert warehouse.types("T")["tags"] == "text[]"


@pytest.mark.parametrize(
    ("done", "error", "says"),
    [
        ('ALTER TABLE {}."T" ADD COLUMN must text NOT NULL DEFAULT NULL', None, ""),
        ('ALTER TABLE {}."T" ALTER COLUMN "A" TYPE integer USING NULL', None, ""),
        ('ALTER TABLE {}."T" DROP COLUMN "A"', None, ""),
        ('ALTER TABLE {}."T" DROP CONSTRAINT "T_pkey"', None, ""),
        ('DROP TABLE {}."T"', None, ""),
        ('ALTER TABLE {}."T" ADD CHECK ("A" <> \'new\')', DestinationError, "violate its constraint"),
        ('CREATE UNIQUE INDEX ON {}."T" ("A")', DestinationError, "violate its constraint"),
        ('ALTER TABLE {}."T" ADD COLUMN must text; UPDATE {}."T" SET must = 1; ALTER TABLE {}."T" ALTER must SET NOT NULL',
         MisfitError, 'column "must", which must not be null'),
        ('ALTER TABLE {}."T" ALTER COLUMN "A" TYPE integer USING 1; CREATE VIEW {}.v AS SELECT "A" FROM {}."T"',
         DestinationError, "something depends on it"),
        ('DROP TABLE {}."T"; CREATE VIEW {}."T" AS SELECT 1 AS "Id"', DestinationError, "is not a table"),
        ('ALTER TABLE {}."T" ALTER COLUMN "A" TYPE inet USING NULL', MisfitError, 'column "A"'),
    ],
)  # fmt: skip
def test_what_somebody_did_by_hand_is_mended_or_explained(
    load: Load, warehouse: Warehouse, done: str, error: type[LoadError] | None, says: str
) -> None:
    load(schema("T", A=TEXT), record("T", Id="1", A="old"), state(1))
    if "DEFAULT NULL" in done:  # a column of which nobody but its owner knows
        done = "ALTER TABLE {}.\"T\" ADD COLUMN own text DEFAULT 'mine'"
    for statement in done.split("; "):
        warehouse.connection.execute(statement.replace("{}", f'"{warehouse.schema}"'))
    messages = [schema("T", A=TEXT), record("T", Id="2", A="new"), record("T", Id="3", A="new"), state(2)]
    if error is None:
        assert load(*messages) == [2]
        assert ("2", "new") in warehouse.rows("T", "Id", "A")
        return
    with pytest.raises(error) as raised:
        load(*messages)
    assert says in raised.value.message
    assert raised.value.hint
    assert load.said == []


def test_a_very_wide_table_is_loaded_and_a_wider_one_is_explained(
    load: Load, warehouse: Warehouse, batches: Batches
) -> None:
    names_ = [f"Field_{number}__c" for number in range(900)]
    line = ",".join(["Id", *names_]) + "\n1" + ",x" * 900 + "\n"
    facts = dict.fromkeys(names_, TEXT)
    load(schema("T", **facts), batches.csv("T", line), record("T", Id="2", Field_899__c="y"))
    assert warehouse.rows("T", "Id", "Field_899__c") == [("1", "x"), ("2", "y")]
    with pytest.raises(MisfitError, match="more than Postgres can hold"):
        load(schema("W", **{f"f{number}": TEXT for number in range(1700)}), record("W", Id="1"))


def test_streams_may_take_turns_record_by_record(load: Load, warehouse: Warehouse) -> None:
    rows = [record("AB"[n % 2], Id=f"{n:03}", N=n) for n in range(300)]
    facts = {"N": {"type": "integer"}}
    said = load(schema("A", **facts), schema("B", **facts), *rows, state(1), batch_size_rows=40)
    assert said == [1]
    for stream, first in (("A", 0), ("B", 1)):
        assert warehouse.rows(stream, "Id", "N") == [(f"{n:03}", n) for n in range(first, 300, 2)]


def test_two_targets_may_load_one_new_schema_at_once(load: Load, warehouse: Warehouse) -> None:
    import threading

    from copydesk import config

    from target_postgres_copy.target import TargetPostgresCopy

    def other() -> None:
        TargetPostgresCopy(config=config(warehouse)).listen(iter(_lines("B")))

    thread = threading.Thread(target=other)
    thread.start()
    load(schema("A"), *(record("A", Id=str(n)) for n in range(100)))
    thread.join()
    assert (warehouse.count("A"), warehouse.count("B")) == (100, 100)


def _lines(stream: str) -> list[str]:
    from copydesk import lines

    return lines([schema(stream), *(record(stream, Id=str(n)) for n in range(100))])
