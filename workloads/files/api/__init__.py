"""The REST API of uploaded files."""
