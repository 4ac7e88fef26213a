"""Consistency checks of the stored rows: named, a bounded piece at a time, with repairs where there are any."""
