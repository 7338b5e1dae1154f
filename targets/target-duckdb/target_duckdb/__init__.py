"""Singer target for DuckDB and Parquet files: DuckDB reads the batches, STATE is said only after commit."""
