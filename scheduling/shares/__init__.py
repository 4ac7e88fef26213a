"""Slots that tenants used and were entitled to, now and over time, and the reasons of each dispatch."""
