"""What somebody has put on a table by hand: nothing is lost without a word, and what is said quotes no record."""

import json

import pytest
from copydesk import Batches, Load, Warehouse, record, schema, state

from target_postgres_copy.errors import DestinationError, LoadError, PermissionMissingError
from target_postgres_copy.refusals import claimed

NAMED = {"Name": {"type": ["string", "null"]}}


def trigger(warehouse: Warehouse, body: str) -> None:
    here = f'"{warehouse.schema}"'
    warehouse.run(f"CREATE FUNCTION {here}.ours() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$")
    warehouse.run(
        f'CREATE TRIGGER ours BEFORE INSERT OR UPDATE ON {here}."T" FOR EACH ROW EXECUTE FUNCTION {here}.ours()'
    )


@pytest.mark.parametrize("away", ['DROP TABLE {}."T"', 'ALTER TABLE {}."T" RENAME TO old', "DROP SCHEMA {} CASCADE"])
def test_a_table_that_earlier_rows_are_gone_with_is_not_made_anew_for_those_that_follow(
    load: Load, warehouse: Warehouse, away: str
) -> None:
    load(schema("T", **NAMED), record("T", Id="1", Name="Ada"), state(1))
    warehouse.run(away)
    more = (schema("T", **NAMED), record("T", Id="2", Name="Bob"), state(2))
    with pytest.raises(DestinationError, match=r"\.T is gone") as raised:
        load(*more, continued_streams=["T"])
    assert "full refresh" in raised.value.hint
    assert json.loads(raised.value.as_json())["remedy"] == "full_refresh"
    assert load.said == []
    assert "T" not in warehouse.tables()
    assert load(*more, continued_streams=["U"]) == [2]
    assert load(*more, continued_streams=["T"]) == [2], "it is there again"


def test_a_schema_that_another_loads_into_is_left_alone(load: Load, warehouse: Warehouse) -> None:
    load(schema("T", **NAMED), record("T", Id="1", Name="Ada"), state(1), claimed_by="sync A")
    for method in ("upsert", "overwrite"):
        for stream in ("T", "U"):
            with pytest.raises(DestinationError, match=r"is loaded by sync A already") as raised:
                load(schema(stream), record(stream, Id="2"), state(2), claimed_by="sync B", load_method=method)
            assert f'COMMENT ON SCHEMA "{warehouse.schema}" IS NULL' in raised.value.hint
            assert load.said == []
    assert (warehouse.tables(), warehouse.rows("T", "Id")) == (["T"], [("1",)])
    assert load(schema("T"), record("T", Id="3"), state(3), claimed_by="sync A") == [3]
    assert load(schema("T"), record("T", Id="4"), state(4)) == [4], "a load that claims nothing is let in"
    warehouse.run(f'COMMENT ON SCHEMA "{warehouse.schema}" IS NULL')
    assert load(schema("T"), record("T", Id="5"), state(5), claimed_by="sync B") == [5]
    with pytest.raises(DestinationError, match="sync B"):
        load(schema("T"), record("T", Id="6"), state(6), claimed_by="sync A")


def test_a_remedy_that_names_a_schema_quotes_it() -> None:
    assert 'COMMENT ON SCHEMA "a"" IS NULL; --" IS NULL,' in claimed('a" IS NULL; --', "sync A").hint


def test_what_somebody_wrote_about_a_schema_stays_and_keeps_nobody_out(load: Load, warehouse: Warehouse) -> None:
    warehouse.run(f'CREATE SCHEMA "{warehouse.schema}"')
    for said in ("All of our customers", "Loaded by sync A. Ask Ada.", "Loaded by \n."):
        warehouse.run(f"COMMENT ON SCHEMA \"{warehouse.schema}\" IS '{said}'")
        for who in ("sync A", "sync B"):
            assert load(schema("T"), record("T", Id="1"), state(1), claimed_by=who) == [1]
        found = warehouse.run(f"SELECT obj_description('\"{warehouse.schema}\"'::regnamespace, 'pg_namespace')")
        assert found == [(said,)]


def test_an_overwritten_table_needs_no_earlier_rows(load: Load, warehouse: Warehouse) -> None:
    rows = (schema("T", **NAMED), record("T", Id="2", Name="Bob"), state(2))
    assert load(*rows, continued_streams=["T"], load_method="overwrite") == [2]
    assert warehouse.rows("T", "Id") == [("2",)]


SKIPS_ONE = "IF NEW.\"Name\" = 'Bob' THEN RETURN NULL; END IF; RETURN NEW"
SKIPS_ALL = 'CREATE RULE nothing AS ON INSERT TO {}."T" DO INSTEAD NOTHING'


@pytest.mark.parametrize("method", ["upsert", "append-only"])
def test_rows_that_a_trigger_keeps_out_end_the_load_and_come_when_it_is_gone(
    load: Load, warehouse: Warehouse, batches: Batches, method: str
) -> None:
    load(schema("T", **NAMED), record("T", Id="1", Name="Ada"), state(1), load_method=method)
    trigger(warehouse, SKIPS_ONE)
    more = (schema("T", **NAMED), batches.csv("T", "Id,Name\n2,Bea\n3,Bob\n"), state(2))
    with pytest.raises(DestinationError, match=r"1 of 2 rows for .*\.T .* a trigger or rule") as raised:
        load(*more, load_method=method)
    assert "drop it" in raised.value.hint
    assert load.said == []
    assert warehouse.rows("T", "Id") == [("1",)]
    warehouse.run('DROP TRIGGER ours ON {}."T"')
    again = batches.csv("T", "Id,Name\n2,Bea\n3,Bob\n")
    assert load(schema("T", **NAMED), again, state(2), load_method=method) == [2]
    assert warehouse.rows("T", "Id") == [("1",), ("2",), ("3",)]


def test_rows_that_a_rule_keeps_out_end_the_load(load: Load, warehouse: Warehouse) -> None:
    load(schema("T", **NAMED), record("T", Id="1", Name="Ada"), state(1))
    warehouse.run(SKIPS_ALL)
    with pytest.raises(DestinationError, match="1 of 1 rows"):
        load(schema("T", **NAMED), record("T", Id="2", Name="Bea"), state(2))
    assert load.said == []


def test_rows_that_come_twice_or_have_only_a_key_are_not_taken_for_kept_out(load: Load, warehouse: Warehouse) -> None:
    load(schema("T"), record("T", Id="1"), state(1), add_record_metadata=False)
    twice = [record("T", Id=key) for key in ("1", "1", "2", "2")]
    assert load(schema("T"), *twice, state(2), add_record_metadata=False) == [2]
    assert warehouse.rows("T", "Id") == [("1",), ("2",)]


def test_a_trigger_that_raises_is_named_and_what_it_says_of_the_record_is_not_repeated(
    load: Load, warehouse: Warehouse
) -> None:
    load(schema("T", **NAMED), record("T", Id="1", Name="Ada"), state(1))
    trigger(warehouse, "RAISE EXCEPTION 'nothing for % today', NEW.\"Name\"; RETURN NEW")
    with pytest.raises(DestinationError, match=r"A trigger on .*\.T refused its rows: .*ours\(\)") as raised:
        load(schema("T", **NAMED), record("T", Id="2", Name="Bob"), state(2))
    assert "Bob" not in str(raised.value)
    assert "sync again" in raised.value.hint
    assert load.said == []


def test_row_level_security_is_called_by_its_name(load: Load, warehouse: Warehouse) -> None:
    load(schema("T", **NAMED), record("T", Id="1", Name="Ada"), state(1))
    warehouse.run('ALTER TABLE {}."T" ENABLE ROW LEVEL SECURITY')
    warehouse.run('ALTER TABLE {}."T" FORCE ROW LEVEL SECURITY')
    bypasses = warehouse.run("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
    if bypasses == [(True,)]:
        pytest.skip("this test's user bypasses row-level security")
    with pytest.raises(LoadError) as raised:
        load(schema("T", **NAMED), record("T", Id="2", Name="Bob"), state(2))
    assert isinstance(raised.value, PermissionMissingError)
    assert "policy" in raised.value.hint
