"""Limits of the scheduler: declarations, quotas, rates, usage."""
