"""Tenants themselves: rows, services and pages."""
