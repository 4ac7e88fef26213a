"""Bulk operations: one act on all the jobs of a filter, as a row that is previewed, run in turns, aborted, undone."""
