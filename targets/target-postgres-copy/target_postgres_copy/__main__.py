"""`python -m target_postgres_copy` is the same as the console script."""

from target_postgres_copy.start import main

main()
