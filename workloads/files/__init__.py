"""Tenants' files in the storage: one copy of each content, kept as long as a row refers to it."""
