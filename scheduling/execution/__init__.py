"""Execution of jobs: start, run, checkpoint, settle, rescue."""
