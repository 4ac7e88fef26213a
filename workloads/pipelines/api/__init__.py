"""API of pipelines, runs and entities."""
