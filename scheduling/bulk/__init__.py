"""Bulk operations: each applies one action, such as cancel or retry, to all jobs of a filter."""
