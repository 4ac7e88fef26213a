"""Stored secrets of tenants, and references to them in texts."""
