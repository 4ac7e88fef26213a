"""Counts words, and greets."""
