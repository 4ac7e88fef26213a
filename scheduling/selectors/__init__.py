"""Reads across models, for screens and answers."""
