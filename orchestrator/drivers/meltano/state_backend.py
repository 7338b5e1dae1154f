"""Meltano's state store, kept by the orchestrator: every get and set goes over the run's unix socket.

Loaded by Meltano's own process through the entry point group `meltano.state_backends`, under the scheme
`orchestrator` (`orchestrator:///path/of/the.sock#nonce`). Imports nothing of ours. The nonce is the first line of
every connection, then comes one line of JSON per request and answer: {"op": "get", "state_id"} → {"state":
{"completed", "partial"} | null}; {"op": "set", "state_id", "state"} → {"ok": true}; {"error": {"code", "message"}}
for both.

A set that is refused ends Meltano at once: an exception alone would do so only while the tap still runs, and for the
last STATE Meltano would log it and exit with 0.

source: meltano.core.state_store.base.StateStoreManager; docs.meltano.com, "Custom state backends"
"""

import json
import logging
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from meltano.core.state_store.base import MeltanoState, StateStoreManager


class StateRefusedError(Exception):
    """The orchestrator did not take or give the state; says why."""


class SocketStateStoreManager(StateStoreManager):  # type: ignore[misc] # Meltano is not followed by mypy
    """Meltano's interface on one side, the run's socket on the other; a connection per request."""

    label = "the orchestrator"

    def __init__(self, *, uri: str, **settings: Any) -> None:
        """uri: orchestrator://PATH#NONCE, nothing quoted; Meltano passes its lock settings too, which we don't use."""
        super().__init__(**settings)
        self._path, _, self._nonce = uri.removeprefix("orchestrator://").rpartition("#")

    def _ask(self, **request: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(self._path)
            connection.sendall(f"{self._nonce}\n{json.dumps(request)}\n".encode())
            with connection.makefile("rb") as lines:
                line = lines.readline()
        if not line:
            raise StateRefusedError("the orchestrator went away")
        answer: dict[str, Any] = json.loads(line)
        if error := answer.get("error"):
            raise StateRefusedError(f"{error.get('message')} ({error.get('code')})")
        return answer

    def set(self, state: MeltanoState) -> None:
        """Hand one STATE over; returns once it is committed."""
        try:
            self._ask(op="set", state_id=state.state_id, state=state.to_dict())
        except (OSError, ValueError, StateRefusedError) as error:
            logging.getLogger(__name__).error("The state could not be stored: %s", error)  # noqa: TRY400 - for people
            raise SystemExit(1) from error

    def get(self, state_id: str) -> MeltanoState | None:
        """What to start from; None for everything."""
        found = self._ask(op="get", state_id=state_id)["state"]
        if found is None:
            return None
        return MeltanoState(
            state_id=state_id,
            completed_state=found.get("completed") or {},
            partial_state=found.get("partial") or {},
        )

    def delete(self, state_id: str) -> None:
        """Refused: state is reset in the orchestrator, where its history is."""
        raise StateRefusedError(f"the state of {state_id} is not Meltano's to delete")

    def get_state_ids(self, pattern: str | None = None) -> Iterable[str]:
        """None: a run knows its own state only."""
        del pattern
        return ()

    @contextmanager
    def acquire_lock(self, state_id: str, *, retry_seconds: float) -> Iterator[None]:
        """Nothing to lock: one run at a time is the orchestrator's promise."""
        del state_id, retry_seconds
        yield
