"""Everything a use case may call outside, built from the settings; each part is made when it is first used."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from orchestrator.drivers.embedded_postgres import EmbeddedPostgres
from orchestrator.drivers.keys import KeyRing
from orchestrator.drivers.last_claim import LastClaim
from orchestrator.drivers.liveness import WorkerMark
from orchestrator.kernel.db import Database, engine
from orchestrator.kernel.environment import environment
from orchestrator.kernel.settings import Settings

if TYPE_CHECKING:
    from orchestrator.drivers.http import Http
    from orchestrator.drivers.meltano.runner import Meltano
    from orchestrator.drivers.plugin_store import PluginStore


@dataclass
class Drivers:
    """The outside, as seen from the domains. `check` is run once on every newly opened control-plane database."""

    settings: Settings
    check: Callable[[Database], None] = field(default=lambda _db: None, repr=False)

    @cached_property
    def postgres(self) -> EmbeddedPostgres:
        """The embedded server; started only by `db` or `warehouse_url`, where no address is set."""
        return EmbeddedPostgres(
            self.settings.home,
            user=self.settings.postgres.user,
            binaries=self.settings.postgres.binaries,
        )

    @cached_property
    def database_url(self) -> SecretStr:
        """Address of the control plane; starts the embedded server where none is set."""
        return self.settings.database_url or self.postgres.start().url("orchestrator")

    @cached_property
    def warehouse_url(self) -> SecretStr:
        """Address of the warehouse; starts the embedded server where none is set."""
        return self.settings.warehouse_url or self.postgres.start().url("warehouse")

    @cached_property
    def unchecked_db(self) -> Database:
        """The control plane, whatever its revision; for migrating and for doctor."""
        return Database(engine(self.database_url))

    @cached_property
    def db(self) -> Database:
        """The control plane, known to fit this code."""
        self.check(self.unchecked_db)
        return self.unchecked_db

    @cached_property
    def keys(self) -> KeyRing:
        """The master keys; may be empty, then every decryption says so."""
        return KeyRing.load(self.settings.encryption_key, self.settings.key_file)

    @cached_property
    def http(self) -> "Http":
        """Outgoing HTTP that calls no private address unless the operator allows it."""
        from orchestrator.drivers.http import Http

        return Http(allow_private=self.settings.network.allow_private)

    @cached_property
    def plugins(self) -> "PluginStore":
        """Plugin environments, built once and shared."""
        from orchestrator.drivers.plugin_store import PluginStore

        return PluginStore(self.settings.home, environ=environment())

    @cached_property
    def meltano(self) -> "Meltano":
        """Starts Meltano, one private project a run."""
        from orchestrator.drivers.meltano.directory import root_in
        from orchestrator.drivers.meltano.project import INHERITED
        from orchestrator.drivers.meltano.runner import Meltano
        from orchestrator.drivers.meltano.values import Limits

        chosen = self.settings.runs.directory
        return Meltano(
            home=self.settings.home,
            runs=None if chosen is None else root_in(chosen),
            grace=self.settings.runs.stop_grace,
            inherited={name: value for name, value in environment().items() if name in INHERITED},
            limits=Limits(
                memory=self.settings.runs.memory,
                processes=self.settings.runs.processes,
                files=self.settings.runs.files,
            ),
            readable=self.settings.runs.readable,
        )

    @cached_property
    def last_claim(self) -> LastClaim:
        """What this machine remembers of the runs it took."""
        return LastClaim(self.settings.home / "claims")

    @property
    def workers_folder(self) -> Path:
        """Where the workers of this machine leave their marks."""
        return self.settings.home / "workers"

    @cached_property
    def worker(self) -> WorkerMark:
        """Our process as a worker, marked as alive."""
        return WorkerMark(self.workers_folder)

    def close(self) -> None:
        """Let go of connections and of the lease on the embedded server."""
        parts: dict[str, Any] = self.__dict__
        if "unchecked_db" in parts:
            self.unchecked_db.close()
        if "worker" in parts:
            self.worker.close()
        if "postgres" in parts:
            self.postgres.close()
