"""Batches: made and filled, counted as their jobs end, cancelled, and what is done at their end."""
