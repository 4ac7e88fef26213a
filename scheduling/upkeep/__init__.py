"""Upkeep: periodic maintenance tasks that Celery beat starts, with their runs and results."""
