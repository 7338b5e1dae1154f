"""Credentials: authorised accounts at providers, and their tokens."""
