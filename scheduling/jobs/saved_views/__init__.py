"""Saved views: named filters of jobs."""
