"""Batches: jobs that were submitted together, counted as they end, with a completion job."""
