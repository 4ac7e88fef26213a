"""Demonstration: three tenants index the same example documents on one fairly shared pool of real workers."""
