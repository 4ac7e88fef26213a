"""Errors of jobs by fingerprint."""
