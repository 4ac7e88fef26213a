"""Consistency checks of the stored rows.

Each compares a bounded range of rows at a time; some can repair what they find.
"""
