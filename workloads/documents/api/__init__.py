"""The REST API of datasets and searches."""
