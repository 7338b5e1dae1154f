"""What values may look like: read as what they say, as Postgres does, or refused; DuckDB alone would guess."""

from typing import Any

import duckdb
import pytest
from duckdesk import Desk, Load, record, schema, state

from target_duckdb.errors import MisfitError

WHOLE, NUMBER, TRUTH = ({"type": [kind, "null"]} for kind in ("integer", "number", "boolean"))
DATE, WHEN = ({"type": ["string", "null"], "format": form} for form in ("date", "date-time"))
REFUSED = None
# Text → what it says. Where Postgres 18 does otherwise, what it does is beside it.
SPELT: list[tuple[dict[str, Any], str, str | None]] = [
    (WHOLE, "-7", "-7"),
    (WHOLE, " 007 ", "7"),
    (WHOLE, "1_000", REFUSED),  # since 16: 1000
    (WHOLE, "0x10", REFUSED),  # since 16: 16
    (WHOLE, "0b1", REFUSED),  # since 16: 1
    (WHOLE, "1,000", REFUSED),
    (WHOLE, "1 000", REFUSED),
    (WHOLE, "१", REFUSED),
    (WHOLE, "yes", REFUSED),
    (WHOLE, "9223372036854775808", REFUSED),
    (WHOLE, "1e400", REFUSED),
    (WHOLE, "1e-400", REFUSED),
    (NUMBER, "1.50", "1.500000000000000000"),
    (NUMBER, ".5", "0.500000000000000000"),
    (NUMBER, "1_0.5", REFUSED),  # since 16: 10.5
    (NUMBER, "0x10", REFUSED),  # since 16: 16
    (NUMBER, "1,5", REFUSED),
    (NUMBER, "inf", REFUSED),  # Infinity
    (NUMBER, "nan", REFUSED),  # NaN
    (NUMBER, "1e300", "1e+300"),
    (NUMBER, "1e400", REFUSED),  # all of its digits
    (NUMBER, "9" * 400, REFUSED),  # all of its digits
    (NUMBER, "1e-400", REFUSED),  # all of its digits
    (NUMBER, "0e-400", "0.000000000000000000"),
    (TRUTH, "TRUE", "true"),
    (TRUTH, "0", "false"),
    (TRUTH, "no", "false"),
    (TRUTH, "on", REFUSED),  # true
    (TRUTH, "2", REFUSED),
    (TRUTH, "00", REFUSED),
    (DATE, "2026-02-03", "2026-02-03"),
    (DATE, "2026-2-3", "2026-02-03"),
    (DATE, "2026/02/3", "2026-02-03"),
    (DATE, "2026/02-03", REFUSED),
    (DATE, "26/02/03", REFUSED),
    (DATE, "0000/01/01", REFUSED),
    (DATE, "2026-02-03T00:00:00.000Z", "2026-02-03"),
    (DATE, "2026-02-03T01:00:00", REFUSED),  # 2026-02-03
    (DATE, "2026-02-30", REFUSED),
    (DATE, "26-02-03", REFUSED),  # 2026-02-03
    (DATE, "0026-02-03", "0026-02-03"),
    (DATE, "0000-01-01", REFUSED),
    (DATE, "epoch", REFUSED),  # 1970-01-01
    (DATE, "02/03/2026", REFUSED),
    (DATE, "infinity", "infinity"),
    (WHEN, "2026-02-03T04:05:06.789Z", "2026-02-03 04:05:06.789+00"),
    (WHEN, "2026-02-03T04:05:06+02:00", "2026-02-03 02:05:06+00"),
    (WHEN, "2026-02-03T04:05:06.5-0330", "2026-02-03 07:35:06.5+00"),
    (WHEN, "2026-02-03 04:05:06+14", "2026-02-02 14:05:06+00"),
    (WHEN, "2026-02-03 04:05:06 Europe/Berlin", "2026-02-03 03:05:06+00"),
    (WHEN, "2026-02-03 04:05:06 EST", "2026-02-03 09:05:06+00"),
    (WHEN, "2026-02-03T04:05:06 Mars/Olympus", REFUSED),
    (WHEN, "2026-02-03T04:05:06+25:00", REFUSED),
    (WHEN, "2026-02-03T04:05:06+02:70", REFUSED),
    (WHEN, "2026-02-30T04:05:06Z", REFUSED),
    (WHEN, "26-02-03T04:05:06Z", REFUSED),  # the year 2026
    (WHEN, "0000-01-01T00:00:00Z", REFUSED),
    (WHEN, "2026-02-03", "2026-02-03 00:00:00+00"),
    (WHEN, "2026/02/03 04:05:06", "2026-02-03 04:05:06+00"),
    (WHEN, "2026-02-03T24:00:00Z", "2026-02-04 00:00:00+00"),
]


@pytest.mark.parametrize("form", ["duckdb", "parquet"])
@pytest.mark.parametrize(("said", "text", "means"), SPELT, ids=[f"{text:.20}" for _, text, _ in SPELT])
def test_a_text_is_read_as_what_it_says_or_refused(
    desk: Desk, load: Load, form: str, said: dict[str, Any], text: str, means: str | None
) -> None:
    folder = desk.folder / "parquet"
    options = {"format": form, "path": str(folder)} if form == "parquet" else {}
    messages = [schema("A", V=said), desk.csv("A", f'Id,V\n1,"{text}"\n'), state(1)]
    if means is REFUSED:
        with pytest.raises(MisfitError, match="do not fit their columns: V") as refused:
            load(*messages, **options)
        assert text not in str(refused.value)
        assert form == "parquet" or desk.rows("A", "Id") == []
        assert not list(folder.rglob("*.parquet"))
        return
    assert load(*messages, **options) == [1]
    if form == "duckdb":
        assert desk.sql('SELECT V::VARCHAR FROM crm."A"') == [(means,)]
        return
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(f"SELECT V::VARCHAR FROM read_parquet('{folder}/A/*.parquet')").fetchall()
    assert found == [(means,)]


def test_records_are_judged_like_files(desk: Desk, load: Load) -> None:
    texts = ((WHOLE, "0x10"), (NUMBER, "1_0"), (DATE, "26-02-03"), (WHEN, "0000-01-01"))
    values = (*texts, *((said, float(name)) for said in (WHOLE, NUMBER) for name in ("inf", "-inf", "nan")))
    for at, (said, value) in enumerate(values):
        with pytest.raises(MisfitError, match="do not fit their columns: V"):
            load(schema(f"A{at}", V=said), record(f"A{at}", Id="1", V=value))


def test_a_column_without_zone_gets_the_time_in_utc(desk: Desk, load: Load) -> None:
    load(schema("A", V=WHEN), record("A", Id="1", V="2026-02-03T04:05:06Z"))
    with duckdb.connect(desk.path) as connection:
        connection.execute('ALTER TABLE crm."A" ALTER V TYPE TIMESTAMP USING V::TIMESTAMP')
    load(schema("A", V=WHEN), record("A", Id="2", V="2026-02-03T04:05:06+02:00"))
    assert desk.sql("SELECT V::VARCHAR FROM crm.\"A\" WHERE Id = '2'") == [("2026-02-03 02:05:06",)]
    with pytest.raises(MisfitError):
        load(schema("A", V=WHEN), record("A", Id="3", V="26-02-03T04:05:06+02:00"))
