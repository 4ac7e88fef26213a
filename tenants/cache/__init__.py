"""Caches in process memory and in Redis."""
