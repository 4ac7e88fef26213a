"""Evaluation of searches in a dataset by questions whose documents are known."""
