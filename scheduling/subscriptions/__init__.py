"""Subscriptions: a relay that submits jobs for events."""
