"""Routing: the queue of a job, by rules and plans."""
