"""Pipelines, runs and entities over HTTP."""
