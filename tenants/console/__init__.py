"""Bases of the console's pages."""
