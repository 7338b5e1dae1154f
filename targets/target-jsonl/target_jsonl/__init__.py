"""Singer target for JSON Lines files."""
