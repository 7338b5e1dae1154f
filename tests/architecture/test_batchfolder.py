"""Both loaders of batch files keep to their folder by the same code, though each can be installed alone."""

from pathlib import Path

TARGETS = Path(__file__).parents[2] / "targets"


def test_the_module_is_the_same_in_both_loaders():
    one = TARGETS / "target-postgres-copy/target_postgres_copy/batchfolder.py"
    other = TARGETS / "target-duckdb/target_duckdb/batchfolder.py"
    assert one.read_text("utf-8") == other.read_text("utf-8")
