"""A DuckDB file per test, and runs of the target in this process."""

import json
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for duckdesk: tests are no package

from duckdesk import Desk, Load, Message, lines

from target_duckdb.target import TargetDuckDB


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """The SDK installs signal handlers in every target, and its command line more than that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hook, handlers = sys.excepthook, list(logging.getLogger().handlers)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.excepthook = hook
    for handler in set(logging.getLogger().handlers) - set(handlers):
        logging.getLogger().removeHandler(handler)


@pytest.fixture
def load(desk: Desk, capsys: pytest.CaptureFixture[str]) -> Load:
    """Load messages in this process; the STATEs said."""

    def loaded(*messages: Message, **changes: Any) -> list[Any]:
        capsys.readouterr()
        target = TargetDuckDB(config=desk.config(**changes))
        try:
            target.listen(iter(lines(messages)))
        finally:
            target.close()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return loaded
