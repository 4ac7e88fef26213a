"""Definitions of workflows: schema, graph and validation. Pure."""
