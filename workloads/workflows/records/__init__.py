"""Runs of workflows and their nodes: how they are written, kept and read."""
