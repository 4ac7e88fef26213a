"""Inbox: events of other systems, each accepted once, that start jobs of a tenant."""
