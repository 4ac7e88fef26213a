"""Subscriptions: what happens to a tenant's jobs is told to whoever asked for it, by one job for each telling."""
