"""Workers and lines of runs, made up and asked about."""

from sqlalchemy import text

from orchestrator.domains.identity import service as identity
from orchestrator.domains.runs import service
from orchestrator.kernel import ids


def join(drivers, concurrency=4):
    service.join(drivers, host="here", pid=1, version="0", concurrency=concurrency)


class Lines:
    """Organizations with runs that wait; each run of an integration of its own, as one has at most one."""

    def __init__(self, drivers):
        self._drivers, self._orgs = drivers, {}

    def line(self, name, length, provider="github"):
        org = self._orgs.get(name) or identity.ensure(self._drivers.db, name).org_id
        self._orgs[name] = org
        with self._drivers.db.connection() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))  # no integrations behind them
            connection.execute(
                text(
                    "INSERT INTO orchestrator.run_queue (org_id, run_id, provider)"
                    " SELECT :org, gen_random_uuid(), :provider FROM generate_series(1, :length)"
                ),
                {"org": ids.decode("org", org), "provider": provider, "length": length},
            )

    def put_off(self, name, by):
        self._change(
            "UPDATE orchestrator.run_queue SET not_before = clock_timestamp() + CAST(:by AS interval)"
            " WHERE org_id = :org AND worker IS NULL",
            by=by,
            org=ids.decode("org", self._orgs[name]),
        )

    def end_those_under_way(self, most=1000):
        self._change(
            "DELETE FROM orchestrator.run_queue WHERE run_id IN (SELECT run_id FROM orchestrator.run_queue"
            " WHERE worker IS NOT NULL ORDER BY dispatched_at, run_id LIMIT :most)",
            most=most,
        )

    def _change(self, statement, **values):
        with self._drivers.db.connection() as connection:
            connection.execute(text(statement), values)

    def holders(self):
        names = {ids.decode("org", org): name for name, org in self._orgs.items()}
        return {names[org]: count for org, count in self._counted("org_id")}

    def providers(self):
        return dict(self._counted("provider"))

    def _counted(self, column):
        with self._drivers.db.connection() as connection:
            return connection.execute(
                text(f"SELECT {column}, count(*) FROM orchestrator.run_queue WHERE worker IS NOT NULL GROUP BY 1")
            ).all()


def line(drivers):
    with drivers.db.connection() as connection:
        return connection.execute(text("SELECT * FROM orchestrator.run_queue ORDER BY requested_at")).all()


def handed(drivers):
    return {ids.encode("run", place.run_id): place.worker for place in line(drivers) if place.dispatched_at}


def due_now(drivers):
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.run_queue SET not_before = NULL"))


def silence(drivers):
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.workers SET heartbeat_at = now() - interval '1 hour'"))
