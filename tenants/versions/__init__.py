"""Versions of editable rows: author, reason, difference, effective time, rollback and withdrawal."""
