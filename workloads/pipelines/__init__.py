"""Pipelines: files, pages and texts become searchable chunks, by a definition that tenants edit."""
