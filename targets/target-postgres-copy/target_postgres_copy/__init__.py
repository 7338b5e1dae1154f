"""Singer target for Postgres: COPY into a staging table, one merge per batch, STATE only after commit."""
