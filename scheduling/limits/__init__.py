"""Limits of a tenant's jobs: their declarations, admission of new jobs, rates and measured usage."""
