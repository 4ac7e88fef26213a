"""Topology: worker pools and the queues that they serve."""
