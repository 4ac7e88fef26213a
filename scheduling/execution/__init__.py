"""Execution: start, run, checkpoint, settle, rescue."""
