"""Batches: jobs of one request, counted as they end, with a completion job."""
