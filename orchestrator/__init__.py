"""Orchestrator: a control plane on top of Meltano and Singer.

Read the tree downwards and you have read the import rule: entry, domains, drivers, kernel.
"""
