"""What an operator's own systems see of a worker: metrics, probes, traces. Imported by workers alone."""
