"""Tenants: models, services and pages."""
