"""Helpers that several pages of the console share."""
