"""Stored secrets and references to them."""
