"""What the embedded Postgres costs. Needs Linux: it is found in /proc."""

import psutil
from sqlalchemy import text

from orchestrator.drivers.bundle import Drivers


def postgres_cpu(drivers: Drivers) -> float:
    """CPU seconds of every process of the server so far; of those that ended meanwhile, what their parent knows."""
    with drivers.db.connection() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    server = psutil.Process(pid).parent()
    assert server is not None
    times = [process.cpu_times() for process in (server, *server.children())]
    return sum(one.user + one.system for one in times) + times[0].children_user + times[0].children_system
