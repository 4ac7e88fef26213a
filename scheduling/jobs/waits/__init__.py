"""Explanations of why a job waits, and estimates of its start."""
