"""Soak test of alerts over killed dispatchers."""
