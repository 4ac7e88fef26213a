"""Anomalies: what is usual for each kind, queue and tenant at an hour of the week, and deviations from it."""
