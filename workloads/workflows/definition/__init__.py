"""Definitions of workflows: their schema, graph and validation.

The code is pure: it uses neither database nor settings.
"""
