"""Caches in process memory and in Redis, and guards of the use of Redis."""
