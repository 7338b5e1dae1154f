"""Work that goes on in threads while the main thread writes messages.

All threads are daemons: when the tap has to end, it does not wait for a server that is silent.
"""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

_LOOK_EVERY = 0.2  # seconds
_LEAVE_AFTER = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


def begun(work: Callable[[], T], *, name: str) -> "Future[T]":
    """The result to come of `work`, which runs in a thread of its own."""
    coming: Future[T] = Future()

    def run() -> None:
        try:
            coming.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            coming.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return coming


class Ahead(Generic[T]):
    """Runs a generator in a thread, up to `most` items ahead of whoever iterates over this.

    over: set when nobody iterates any more; the generator looks at it while it waits
    """

    def __init__(self, items: Generator[T], over: threading.Event, *, most: int, name: str) -> None:
        self._items = items
        self._over = over
        self._ready: Queue[T | _End] = Queue(most)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __iter__(self) -> Generator[T]:
        """The items, in order; what the generator raises is raised here, behind the items before it."""
        self._thread.start()
        try:
            while True:
                item = self._ready.get()
                if isinstance(item, _End):
                    if item.error is not None:
                        raise item.error
                    return
                yield item
        finally:
            self._over.set()
            self._thread.join(_LEAVE_AFTER)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    break
        except BaseException as raised:  # noqa: BLE001 - it is raised where the items are wanted
            error = raised
        finally:
            self._items.close()
            self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        while not self._over.is_set():
            try:
                self._ready.put(item, timeout=_LOOK_EVERY)
            except Full:
                continue
            return True
        return False
