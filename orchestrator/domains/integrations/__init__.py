"""Configured connectors: config, credential, selected streams, destination; test and discover."""
