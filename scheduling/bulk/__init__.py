"""Bulk operations: one action on all jobs of a filter."""
