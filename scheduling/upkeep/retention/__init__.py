"""Retention: rows that are older than their tenant's plan allows are deleted in small batches."""
