"""`python -m target_duckdb` is the same as the console script."""

from target_duckdb.target import TargetDuckDB

TargetDuckDB.cli()
