"""The console script. Nothing that is made while importing is garbage: looking for it costs a fifth of the start."""

import gc


def main() -> None:
    """Import everything, then run."""
    gc.disable()
    from target_postgres_copy.target import TargetPostgresCopy

    gc.freeze()
    gc.enable()
    TargetPostgresCopy.cli()
