"""Upkeep by beat: what there is to do, bounded runs of it, and their results."""
