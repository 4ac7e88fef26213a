"""Bulk operations: one act on all jobs of a filter."""
