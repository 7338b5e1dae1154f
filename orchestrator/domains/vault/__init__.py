"""Secrets, encrypted for one organization, one row and one field."""
