"""Consistency checks of the stored rows: named, one bounded piece at a time, with repairs where possible."""
