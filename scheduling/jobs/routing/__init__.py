"""Routing: the choice of a job's queue, by rules and plans."""
