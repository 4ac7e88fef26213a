"""Versions of rows that people edit: author, reason, difference, time of effect, rollback and withdrawal."""
