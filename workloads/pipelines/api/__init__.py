"""The REST API of pipelines, runs and entities."""
