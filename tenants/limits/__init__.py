"""Limits: declarations, overrides, usage, warnings."""
