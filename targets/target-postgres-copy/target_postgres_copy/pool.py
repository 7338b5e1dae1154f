"""Several connections that load at once: bounded, in order per table, and the first failure ends all."""

import logging
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg import Connection

from target_postgres_copy.errors import LoadError
from target_postgres_copy.refusals import told

log: Final = logging.getLogger("target-postgres-copy")
_T = TypeVar("_T")
Work = Callable[[Connection[Any], Callable[[], None]], Any]  # the second argument waits for its turn
_JOIN: Final = 5.0  # seconds for threads to see that everything is over


class _GivenUpError(Exception):
    """Another load failed; this one must not go on."""


class _Task:
    def __init__(self, what: str, work: Work, after: "_Task | None", done: Callable[[Any], None]) -> None:
        self.what = what
        self.work = work
        self.after = after
        self.done = done
        self.finished = threading.Event()
        self.failed = False


class Pool:
    """Runs work on up to `size` connections, each made when first needed.

    At most one piece of work waits beyond those that run: whoever submits more is held back.
    """

    def __init__(self, connect: Callable[[], Connection[Any]], size: int) -> None:
        self._connect = connect
        self._size = size
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._connections: list[Connection[Any]] = []
        self._last: dict[object, _Task] = {}
        self._changed = threading.Condition()
        self._unfinished = 0
        self._failure: LoadError | None = None
        self._over = False
        self.wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)

    def submit(self, key: object, what: str, work: Work, done: Callable[[Any], None] = lambda _: None) -> None:
        """Have work done; work of the same key takes its turn in this order.

        what: whom it is for, for messages. done: called with the work's result, in the thread that did it.
        Raises the failure of earlier work.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._unfinished <= self._size or self._failure is not None)
            self._raise()
            task = _Task(what, work, self._last.get(key), done)
            self._last[key] = task
            self._unfinished += 1
            if len(self._threads) < min(self._size, self._unfinished):
                thread = threading.Thread(target=self._run, name=f"load-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._tasks.put(task)

    def call(self, key: object, what: str, work: Callable[[Connection[Any]], _T]) -> _T:
        """Have work done after everything before it of the same key, and wait for its result."""
        results: list[_T] = []

        def in_turn(connection: Connection[Any], wait: Callable[[], None]) -> _T:
            wait()
            return work(connection)

        self.submit(key, what, in_turn, results.append)
        with self._changed:
            self._changed.wait_for(lambda: results or self._failure is not None)
            self._raise()
        return results[0]

    def settle(self) -> None:
        """Wait until all work is done; raises the first failure."""
        with self._changed:
            self._changed.wait_for(lambda: not self._unfinished or self._failure is not None)
            self._raise()

    def check(self) -> None:
        """Raises the first failure, if there is one."""
        with self._changed:
            self._raise()

    def close(self) -> None:
        """End all threads and connections; what is not committed is rolled back."""
        with self._changed:
            if self._over:
                return
            self._over = True
            running = bool(self._unfinished)
            connections = list(self._connections)
        if running:
            for connection in connections:
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=_JOIN)
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(_JOIN)
        os.close(self._waker)
        os.close(self.wake)

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        connection: Connection[Any] | None = None
        try:
            while (task := self._tasks.get()) is not None:
                connection = self._attempt(task, connection)
        finally:
            if connection is not None:
                with suppress(psycopg.Error):
                    connection.close()

    def _attempt(self, task: _Task, connection: Connection[Any] | None) -> Connection[Any] | None:
        failure: BaseException | None = None
        try:
            self._go_on()
            if connection is None:
                connection = self._connect()
                with self._changed:
                    self._connections.append(connection)
            task.done(task.work(connection, lambda: self._turn(task)))
        except _GivenUpError:
            task.failed = True
        except BaseException as error:  # noqa: BLE001 - raised again by whoever submits or settles
            task.failed = True
            failure = error
        self._finish(task, failure)
        return connection

    def _finish(self, task: _Task, failure: BaseException | None) -> None:
        task.work = task.done = _nothing  # they hold the rows
        task.after = None
        with self._changed:
            self._unfinished -= 1
            if failure is not None and self._failure is None and not self._over:
                self._failure = _in_words(failure, task.what)
            task.finished.set()
            self._changed.notify_all()
            if not self._over:
                with suppress(BlockingIOError):
                    os.write(self._waker, b".")

    def _turn(self, task: _Task) -> None:
        if task.after is not None:
            task.after.finished.wait()
            if task.after.failed:
                raise _GivenUpError
        self._go_on()

    def _go_on(self) -> None:
        with self._changed:
            if self._over or self._failure is not None:
                raise _GivenUpError


def _nothing(*_: Any) -> None:
    return None


def _in_words(failure: BaseException, what: str) -> LoadError:
    if isinstance(failure, LoadError):
        return failure
    if isinstance(failure, psycopg.Error):
        return told(failure, what)
    log.error("Loading %s failed.", what, exc_info=failure)
    return LoadError(f"Loading {what} failed: {type(failure).__name__}.", hint="The log above tells where.")
