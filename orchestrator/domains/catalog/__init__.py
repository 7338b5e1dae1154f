"""The connectors we offer, read from schemas/connectors."""
