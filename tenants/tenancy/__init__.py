"""Tenants: their models, services, API and pages."""
