"""API of uploaded files."""
