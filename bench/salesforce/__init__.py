"""Salesforce to Postgres: how far we are from the bare limit, and how far from everybody else."""
