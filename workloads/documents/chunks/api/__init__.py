"""The REST API of chunks."""
