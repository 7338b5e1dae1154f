"""What this machine remembers, outside of the database, of the runs it took: the newest claim.

A database that knows nothing of it any more has lost what happened since, as one does that was restored from a backup.
"""

import json
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run that was taken here, and the epoch of that attempt."""

    org_id: str
    run_id: str
    epoch: int


class LastClaim:
    """A small file per installation. Processes and threads may share the folder; what came last counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remember(self, installation: str, claim: Claim) -> None:
        """Keep it. Where that fails, on a full disk, there is less to compare with later, and nothing else."""
        path = self._folder / f"{installation}.json"
        aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            aside.write_text(json.dumps(asdict(claim)), encoding="utf-8")
            aside.replace(path)

    def recall(self, installation: str) -> Claim | None:
        """The newest claim; None where there was none, or nobody can read it any more."""
        with suppress(OSError, ValueError, TypeError):
            return Claim(**json.loads((self._folder / f"{installation}.json").read_text(encoding="utf-8")))
        return None
