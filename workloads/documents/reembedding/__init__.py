"""Re-embedding of datasets by another model. The old vectors serve searches until all new ones exist."""
