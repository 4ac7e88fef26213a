"""Reuse of the results of completed jobs for equal jobs of the same tenant."""
