"""Schedules: definitions, fires and their jobs."""
