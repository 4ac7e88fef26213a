"""Upkeep: tasks that beat starts, their runs and results."""
