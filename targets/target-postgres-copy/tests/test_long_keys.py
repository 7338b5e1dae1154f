"""Keys that no index of Postgres can hold are refused with the batch they come in, not when all is loaded."""

import random
import string

import pytest
from copydesk import Batches, Load, Warehouse, record, schema, state
from firstload import is_whole

from target_postgres_copy.errors import MisfitError

TEXT = {"type": ["string", "null"]}
LONG = "".join(random.Random(1).choices(string.ascii_letters, k=6000))  # does not pack well
SAYS = r"A row of \w+\.T has a key that is too long for Postgres: Id may take"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("by_file", [True, False])
def test_the_batch_with_a_long_key_is_refused_and_the_next_run_goes_on(
    load: Load, warehouse: Warehouse, batches: Batches, known: bool, by_file: bool
) -> None:
    if known:
        load(schema("T", N=TEXT), record("T", Id="0", N="before"))
    long = batches.csv("T", f"Id,N\n3,b\n{LONG},b\n") if by_file else record("T", Id=LONG, N="b")
    with pytest.raises(MisfitError, match=SAYS) as refused:
        load(schema("T", N=TEXT), batches.csv("T", "Id,N\n1,a\n2,b\n"), state(1), long, state(2))
    assert "append-only" in refused.value.hint
    assert LONG not in str(refused.value)
    assert load.said in ([1], [])
    if warehouse.tables():  # none where the batch was refused before the first one had made the table
        assert "3" not in [key for (key,) in warehouse.rows("T", "Id")]
    load(schema("T", N=TEXT), batches.csv("T", "Id,N\n1,a\n2,b\n"), batches.csv("T", "Id,N\n3,b\n4,b\n"), state(2))
    assert [key for (key,) in warehouse.rows("T", "Id")] == [*(["0"] if known else []), "1", "2", "3", "4"]
    assert is_whole(warehouse)


def test_a_long_key_of_the_first_batch_leaves_no_table(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    for method in ("upsert", "overwrite"):
        with pytest.raises(MisfitError, match=SAYS):
            load(schema("T"), batches.csv("T", f"Id\n{LONG}\n"), state(1), load_method=method)
        assert load.said == []
        assert warehouse.tables() == []


def test_long_keys_that_pack_well_are_fine(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    keys = ["x" * 10_000, "y" * 10_000, "x" * 10_000]
    load(schema("T"), *(batches.csv("T", f"Id\n{key}\n") for key in keys), *(record("T", Id=key) for key in keys))
    assert warehouse.rows("T", "Id") == [("x" * 10_000,), ("y" * 10_000,)]
    assert is_whole(warehouse)


def test_a_value_too_long_for_an_index_of_somebody_is_said(load: Load, warehouse: Warehouse) -> None:
    load(schema("T", N=TEXT), record("T", Id="1", N="a"))
    warehouse.run('CREATE INDEX by_n ON {}."T" ("N")')
    with pytest.raises(MisfitError, match="too long for its index by_n"):
        load(schema("T", N=TEXT), record("T", Id="2", N=LONG), state(1))
