"""Dates and times that Postgres would take for others without a word are refused; all others are stored as they came."""

from datetime import date
from typing import Any

import pytest
from copydesk import Batches, Load, Warehouse, record, schema, state

from target_postgres_copy.errors import MisfitError

DAY = {"type": ["string", "null"], "format": "date"}
MOMENT = {"type": ["string", "null"], "format": "date-time"}
CLOCK = {"type": ["string", "null"], "format": "time"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (DAY, "2024-01-01T12:34:56Z"),
        (DAY, "2024-01-01 00:00:01"),
        (DAY, "2024-01-01T00:00:00.5Z"),
        (DAY, "now"),
        (DAY, " Today "),
        (MOMENT, "now"),
        (MOMENT, "yesterday"),
        (CLOCK, "now"),
    ],
)
@pytest.mark.parametrize("key", [True, False])
def test_a_value_that_would_be_cut_or_means_the_time_of_the_load_is_refused(
    load: Load, kind: dict[str, Any], value: str, key: bool
) -> None:
    keys = ("Id", "at") if key else ("Id",)
    with pytest.raises(MisfitError, match=r'A value for the column "at" of .*\.T is no ') as raised:
        load(schema("T", keys, Id={"type": "string"}, at=kind), record("T", Id="1", at=value), state(1))
    assert value.strip() not in str(raised.value)
    assert load.said == []


def test_a_batch_of_lines_is_judged_as_records_are(load: Load, batches: Batches) -> None:
    file = batches.jsonl("T", {"Id": "1", "at": "2024-01-01T12:00:00"})
    with pytest.raises(MisfitError, match='column "at"'):
        load(schema("T", at=DAY), file, state(1))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("2024-02-29", date(2024, 2, 29)),
        ("2024-02-29T00:00:00Z", date(2024, 2, 29)),
        ("2024-02-29T00:00:00.000+02:00", date(2024, 2, 29)),
        ("2024-02-29 00:00", date(2024, 2, 29)),
        ("20240229", date(2024, 2, 29)),
        ("Feb 29 2024", date(2024, 2, 29)),
        (None, None),
    ],
)
def test_a_day_is_stored_however_it_is_written(
    load: Load, warehouse: Warehouse, value: str | None, stored: date | None
) -> None:
    assert load(schema("T", at=DAY), record("T", Id="1", at=value), state(1)) == [1]
    assert warehouse.rows("T", "at") == [(stored,)]


@pytest.mark.parametrize("value", ["infinity", "-infinity", "4714-11-24 BC", "10000-01-01"])
def test_days_beyond_the_calendars_of_others_are_stored(load: Load, warehouse: Warehouse, value: str) -> None:
    assert load(schema("T", at=DAY), record("T", Id="1", at=value), state(1)) == [1]
    assert warehouse.run('SELECT "at"::text FROM {}."T"') == [(value,)]
