"""Executions: request, execute, settle, cancel, logs, state."""
