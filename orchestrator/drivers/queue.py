"""The transport that carries runs to workers: Procrastinate, on the control plane's own Postgres.

It knows no more than whose run it is and its id, and a job of it lasts as long as handing that over: who holds a run,
and whether it was done, is told by leases in our own tables, so that losing or doubling a job loses or doubles nothing.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ProcrastinateException
from procrastinate.jobs import DeleteJobCondition
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from orchestrator.kernel import ids
from orchestrator.kernel.db import IDLE, QUEUE_SCHEMA, TCP, Role, normalised

log = logging.getLogger(__name__)
_LOOK_EVERY = 5.0  # seconds; a notification makes it at once
_AGAIN_AFTER = 1.0  # seconds, where the database is away
_LET_GO = f"idle_in_transaction_session_timeout={IDLE}"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A run that this worker may claim."""

    org_id: str
    run_id: str


class Queue:
    """One worker's end of the transport; its queue has its name."""

    def __init__(self, address: SecretStr, worker: str) -> None:
        self._address, self._worker = address, worker

    def serve(self, hand_over: Callable[[Ticket], object], *, stop: threading.Event) -> None:
        """Hand over tickets as they come, until `stop` is set; goes on where the database was away.

        hand_over: must return at once; called in this thread
        """
        asyncio.run(self._serve(hand_over, stop))

    async def _serve(self, hand_over: Callable[[Ticket], object], stop: threading.Event) -> None:
        stopped = asyncio.create_task(asyncio.to_thread(stop.wait))
        while not stop.is_set():
            worker = asyncio.create_task(self._work(hand_over))
            await asyncio.wait({worker, stopped}, return_when=asyncio.FIRST_COMPLETED)
            worker.cancel()
            try:
                await worker
            except (asyncio.CancelledError, ProcrastinateException, psycopg.Error) as ended:
                if not stop.is_set():
                    log.warning("The queue's connection was lost (%s); connecting again.", type(ended).__name__)
            if not stop.is_set():
                await asyncio.wait({stopped}, timeout=_AGAIN_AFTER)
        await stopped

    async def _work(self, hand_over: Callable[[Ticket], object]) -> None:
        app = App(connector=PsycopgConnector(conninfo=conninfo(self._address), min_size=1, max_size=2, timeout=10))

        @app.task(name="execute")
        async def execute(org_id: str, run_id: str) -> None:
            hand_over(Ticket(ids.encode("org", UUID(org_id)), ids.encode("run", UUID(run_id))))

        async with app.open_async():
            await app.run_worker_async(
                queues=[self._worker],
                name=self._worker,
                fetch_job_polling_interval=_LOOK_EVERY,
                delete_jobs=DeleteJobCondition.ALWAYS,
                install_signal_handlers=False,
            )


def conninfo(address: SecretStr) -> str:
    """For its sessions, as libpq reads it; an address would not do, since there a space is told from a plus.

    Whoever fetches a job holds the lock that every worker's fetching takes: no rest in that transaction either.
    """
    url = normalised(address)
    parts = {**url.query, "host": url.host or url.query.get("host"), "port": url.port or url.query.get("port")}
    given = {name: str(value) for name, value in parts.items() if value is not None and name != "pgbouncer"}
    return make_conninfo(
        "",
        **{**TCP, **given},
        user=url.username,
        password=url.password,
        dbname=url.database,
        options=f"-c search_path={QUEUE_SCHEMA} -c role={Role.WORKER.value} -c {_LET_GO}",
        application_name="orchestrator worker",
    )
