"""The REST API of sources of documents."""
