"""STATE: said when everything before it is committed, in order, also under parallel load and when something fails."""

import json
import os
import signal
import threading
from collections import deque
from pathlib import Path

import pytest
from copydesk import Batches, Load, Warehouse, config, ended, lines, record, schema, start, state
from hypothesis import given
from hypothesis import strategies as st

from target_postgres_copy.errors import LoadError
from target_postgres_copy.ledger import Ledger


@given(st.lists(st.one_of(st.just("open"), st.just("state"), st.integers(0, 5)), max_size=60))
def test_a_state_never_passes_a_load_that_came_before_it(steps: list) -> None:
    ledger, open_, said, seen, count = Ledger(), [], [], {}, 0
    for step in steps:
        if step == "open":
            open_.append(ledger.open())
        elif step == "state":
            count += 1
            seen[count] = set(open_)
            ledger.hold(count)
        elif open_:
            ledger.commit(open_.pop(step % len(open_)))
        for number in ledger.sayable():
            assert not seen[number] & set(open_)
            said.append(number)
    assert said == sorted(set(said))
    for number in open_:
        ledger.commit(number)
        said += ledger.sayable()
    assert (said[-1] if said else 0) == count


def test_the_last_state_is_said_at_the_end(load: Load) -> None:
    assert load(schema("T"), *[m for n in range(50) for m in (record("T", Id=str(n)), state({"n": n}))]) == [{"n": 49}]


def test_a_state_keeps_its_numbers(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    line = '{"type": "STATE", "value": {"at": 1.10, "big": 123456789012345678901234567890, "é": "ü"}}'
    assert load(schema("T"), line) == [json.loads(line)["value"]]


def test_states_under_parallel_load_are_true_when_they_are_said(
    load: Load, warehouse: Warehouse, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    told = deque()
    real = sys.stdout.write

    def write(text: str) -> int:
        if text.startswith('{"rows"'):
            promised = json.loads(text)["rows"]
            with_own_eyes = {stream: count for stream, count in promised.items() if count}
            told.append((promised, {stream: warehouse_count(stream) for stream in with_own_eyes}))
        return real(text)

    import psycopg
    from psycopg import sql

    def warehouse_count(stream: str) -> int:
        with psycopg.connect(warehouse.url.replace("+psycopg", "")) as own:
            made = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(warehouse.schema, stream))
            return own.execute(made).fetchone()[0]

    monkeypatch.setattr(sys.stdout, "write", write)
    rows = {"A": 0, "B": 0, "C": 0}
    messages = [schema("A"), schema("B"), schema("C")]
    for number in range(24):
        stream = "ABC"[number % 3]
        size = 2000 if number % 5 == 0 else 3
        text = "Id\n" + "".join(f"{number}-{row}\n" for row in range(size))
        messages.append(batches.csv(stream, text))
        rows[stream] += size
        messages.append(state({"rows": dict(rows)}))
    load(*messages, max_connections=4)
    assert told[-1][0] == rows
    for promised, found in told:
        assert all(found[stream] >= promised[stream] for stream in found)
    assert [sum(promised.values()) for promised, _ in told] == sorted({sum(p.values()) for p, _ in told})


def test_no_state_is_said_for_what_failed_and_none_after_it(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    whole = schema("T", N={"type": "integer"})
    messages = [whole, batches.csv("T", "Id,N\n1,1\n"), state(1), batches.csv("T", "Id,N\n2,oops\n"), state(2)]
    messages += [batches.csv("T", f"Id,N\n{n},3\n") for n in range(3, 9)] + [state(3)]
    with pytest.raises(LoadError):
        load(*messages, max_connections=3)
    assert load.said in ([], [1])
    assert warehouse.tables() == [] or {key for (key,) in warehouse.rows("T", "Id")} <= {"1"}


def test_records_that_wait_are_loaded_although_nothing_more_comes(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(tmp_path, config(warehouse))
    for message in (schema("T"), record("T", Id="1"), state("early")):
        process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline()) == "early"
    assert warehouse.count("T") == 1
    assert ended(process).code == 0


def _held_back(warehouse: Warehouse) -> threading.Event:
    """Holds the table so that a merge must wait; release by setting the event."""
    import psycopg
    from psycopg import sql

    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with psycopg.connect(warehouse.url.replace("+psycopg", "")) as own:
            own.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(sql.Identifier(warehouse.schema, "T")))
            held.set()
            release.wait()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    held.wait()
    return release


def _copied(warehouse: Warehouse) -> None:
    """Returns when a loader has copied its rows and waits for the table."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'target-postgres-copy'"
        " AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO%'"
    )
    while warehouse.connection.execute(waiting).fetchone() == (0,):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_kill_between_copy_and_commit_leaves_the_table_as_it_was(
    load: Load, warehouse: Warehouse, batches: Batches, tmp_path: Path, number: signal.Signals
) -> None:
    load(schema("T", A={"type": "string"}), record("T", Id="1", A="before"), state(0))
    release = _held_back(warehouse)
    process = start(tmp_path, config(warehouse))
    message = batches.csv("T", "Id,A\n1,after\n2,after\n")
    for sent in (schema("T", A={"type": "string"}), message, state(1)):
        process.stdin.write(json.dumps(sent) + "\n")
    process.stdin.flush()
    _copied(warehouse)
    os.kill(process.pid, number)
    out, _ = process.communicate()
    release.set()
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert out == ""
    while warehouse.connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'target-postgres-copy'"
    ).fetchone() != (0,):
        pass
    assert warehouse.rows("T", "Id", "A") in ([("1", "before")], [("1", "after"), ("2", "after")])
    assert load(schema("T", A={"type": "string"}), batches.csv("T", "Id,A\n1,after\n2,after\n"), state(1)) == [1]
    assert warehouse.rows("T", "Id", "A") == [("1", "after"), ("2", "after")]


def test_a_server_that_goes_away_is_said_and_nothing_is_promised(
    load: Load, warehouse: Warehouse, batches: Batches, tmp_path: Path
) -> None:
    load(schema("T"), record("T", Id="1"))
    release = _held_back(warehouse)
    process = start(tmp_path, config(warehouse))
    for sent in (schema("T"), batches.csv("T", "Id\n2\n"), state(1)):
        process.stdin.write(json.dumps(sent) + "\n")
    process.stdin.flush()
    _copied(warehouse)
    warehouse.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'target-postgres-copy'"
    )
    end = ended(process)
    release.set()
    assert (end.code, end.states) == (1, [])
    assert (end.failure["kind"], end.failure["origin"], end.failure["retryable"]) == (
        "destination_error",
        "destination",
        True,
    )
    assert "went away" in end.failure["message"]
    assert warehouse.rows("T", "Id") == [("1",)]


def test_every_loaded_record_is_counted(warehouse: Warehouse, batches: Batches, tmp_path: Path) -> None:
    process = start(tmp_path, config(warehouse))
    end = ended(
        process, schema("T"), batches.csv("T", "Id\n1\n2\n"), record("T", Id="1"), record("T", Id="1"), state(1)
    )  # fmt: skip
    points = [json.loads(line.split("METRIC: ")[1]) for line in end.log.splitlines() if "METRIC: " in line]
    counts = [
        point["value"] for point in points if point["metric"] == "record_count" and point["tags"]["stream"] == "T"
    ]
    assert (end.code, sum(counts), end.states) == (0, 4, [1])


def test_bytes_are_counted_as_the_tap_handed_them_over(warehouse: Warehouse, batches: Batches, tmp_path: Path) -> None:
    odd = '{"type": "RECORD", "stream": "T", "record": {"Id": "\\ud800"}}'  # goes the long way
    gone = record("T", Id="3", _sdc_deleted_at="2024-01-01T00:00:00Z")
    shape = schema(
        "T", Name={"type": ["string", "null"]}, _sdc_deleted_at={"type": ["string", "null"], "format": "date-time"}
    )
    plain, umlaut = (
        record("T", Id="1", Name="a"),
        '{"type": "RECORD", "stream": "T", "record": {"Id": "2", "Name": "ü"}}',
    )
    file = batches.csv("T", "Id\n4\n5\n", "Id\n6\n")
    packed = sum(path.stat().st_size for path in batches.folder.iterdir())
    end = ended(start(tmp_path, config(warehouse)), shape, file, plain, umlaut, odd, gone, state(1))
    points = [json.loads(line.split("METRIC: ")[1]) for line in end.log.splitlines() if "METRIC: " in line]
    counted = [point for point in points if point["metric"] == "byte_count"]
    written = [line.encode() for line in lines([plain, umlaut, odd, gone])]
    assert (end.code, {point["tags"]["stream"] for point in counted}) == (0, {"T"})
    assert sum(point["value"] for point in counted) == packed + sum(map(len, written))


def test_bytes_that_are_not_committed_are_not_counted(warehouse: Warehouse, batches: Batches, tmp_path: Path) -> None:
    file = batches.csv("T", "Id\n1\n", record_counts=[2])
    end = ended(start(tmp_path, config(warehouse)), schema("T"), file, state(1))
    assert (end.code, '"byte_count"' in end.log) == (1, False)


def test_a_reader_of_states_that_is_gone_ends_the_run(warehouse: Warehouse, tmp_path: Path) -> None:
    process = start(tmp_path, config(warehouse))
    process.stdout.close()
    process.stdin.write("".join(json.dumps(message) + "\n" for message in (schema("T"), record("T", Id="1"), state(1))))
    process.stdin.close()
    assert process.wait() != 0
    process.stderr.close()
