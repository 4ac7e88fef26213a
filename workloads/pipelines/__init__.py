"""Pipelines: definitions, edited by tenants, by which files, pages and texts become searchable chunks."""
