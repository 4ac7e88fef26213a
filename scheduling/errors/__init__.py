"""Errors of jobs, grouped by fingerprint."""
