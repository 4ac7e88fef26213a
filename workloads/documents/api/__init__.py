"""Datasets and search over HTTP."""
