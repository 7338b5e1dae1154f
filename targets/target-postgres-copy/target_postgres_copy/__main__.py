"""`python -m target_postgres_copy` is the same as the console script."""

from target_postgres_copy.target import main

main()
