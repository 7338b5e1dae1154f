"""Loads on several connections: bounded, whatever is submitted."""

import threading
import time
from collections.abc import Callable

import psycopg

from target_postgres_copy.pool import Pool


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
