"""Objectives: the share of jobs that is to start within a time, counted against a budget of late ones."""
