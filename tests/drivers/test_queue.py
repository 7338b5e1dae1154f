import psycopg

from orchestrator.drivers.queue import conninfo
from orchestrator.kernel.db import IDLE


def test_a_worker_paused_while_it_fetches_lets_go_of_the_lock_that_all_workers_wait_for(database, database_url):
    with psycopg.connect(conninfo(database_url)) as connection:
        assert connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() == (IDLE,)
        assert connection.execute("SELECT current_user, current_schema()").fetchone() == (
            "orchestrator_worker",
            "orchestrator_queue",
        )
