"""Retention by plan and class: what is older than its tenant's plan keeps it is removed, in small batches."""
