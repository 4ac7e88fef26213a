"""Limits of tenants: their declarations, overrides, usage and warnings."""
