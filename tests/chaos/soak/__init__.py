"""Soak test: load and faults of many rows on one stack, with measurements of growth."""
