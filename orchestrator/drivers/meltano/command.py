"""What Meltano is told to do, as data: argument lists without a value of anybody's in them."""

from uuid import UUID


def run(extractor: str, loader: str, *, state_id: str, run_id: UUID) -> tuple[str, ...]:
    """Sync once. --force, because the lock that counts is not Meltano's; never --full-refresh, see state_backend."""
    ids = ("--state-id-suffix", state_id, "--run-id", str(run_id))
    return ("run", "--no-install", "--force", *ids, extractor, loader)


def read(extractor: str) -> tuple[str, ...]:
    """Start the extractor alone, its messages on stdout."""
    return ("invoke", "--no-install", extractor)


def discover(extractor: str) -> tuple[str, ...]:
    """Have the extractor print its catalog on stdout; exits as the extractor does."""
    return ("invoke", "--no-install", extractor, "--discover")
