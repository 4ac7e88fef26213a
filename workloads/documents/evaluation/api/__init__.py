"""The REST API of evaluations."""
