"""Upkeep: periodic maintenance tasks started by beat, with their runs and results."""
