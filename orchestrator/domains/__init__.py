"""What we do. The domains form a line, each may import those below it; the contracts are in pyproject.toml."""
