"""Retention by plan and class: rows older than their tenant's plan allows are pruned, in small batches."""
