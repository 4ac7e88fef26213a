"""Topology: pools and the queues that they serve."""
