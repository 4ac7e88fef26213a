"""Regions: where the jobs of a tenant may run, and what the loss of a region stops."""
