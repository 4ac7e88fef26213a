"""Limits of the scheduler: declarations, quotas, rates and usage."""
