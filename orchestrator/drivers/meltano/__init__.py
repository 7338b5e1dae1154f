"""Meltano as a process: project rendering, the command, the running, and reading what it says."""
