"""Caches of a process and of Redis."""
