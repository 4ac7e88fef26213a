"""Execution of jobs by workers: start, run, checkpoint, settle, and rescue of lost ones."""
