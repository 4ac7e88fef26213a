"""Pipelines: from files, pages and texts to searchable chunks, by a definition that tenants edit."""
