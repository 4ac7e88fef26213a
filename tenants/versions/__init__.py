"""Versions of editable rows: their author, reason, difference and effective time; rollback and withdrawal."""
