"""Loads on several connections: bounded in number and size, whatever comes."""

import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from copydesk import Load, Warehouse, record, schema

from target_postgres_copy.pool import Pool
from target_postgres_copy.sources import RecordBuffer


def test_whoever_submits_more_than_is_done_is_held_back(url: str) -> None:
    pool = Pool(lambda: psycopg.connect(url.replace("+psycopg", ""), autocommit=True), 2)
    free, begun, submitted = threading.Event(), [], []

    def work(_: psycopg.Connection, turn: Callable[[], None]) -> None:
        turn()
        begun.append(None)
        free.wait(60)

    def submit() -> None:
        for number in range(6):
            pool.submit(number, "T", work)
            submitted.append(number)

    thread = threading.Thread(target=submit)
    thread.start()
    until = time.monotonic() + 60
    while (len(begun), len(submitted)) != (2, 3) and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)  # in which a fourth would come
    held = len(begun), len(submitted)
    free.set()
    thread.join()
    pool.settle()
    pool.close()
    assert held == (2, 3), "two are under way, one waits"
    assert len(begun) == 6


def test_large_records_are_on_their_way_before_there_are_many(
    load: Load, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, fill = [], RecordBuffer.fill
    monkeypatch.setattr(RecordBuffer, "fill", lambda self, stage: sizes.append(self.size) or fill(self, stage))
    monkeypatch.setattr("target_postgres_copy.engine._BATCH_BYTES", 100_000)
    load(schema("T", A={"type": "string"}), *(record("T", Id=str(number), A="y" * 1000) for number in range(600)))
    assert max(sizes) < 300_000
    assert warehouse.count("T") == 600
