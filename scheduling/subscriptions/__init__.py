"""Subscriptions to job events: a relay that submits a delivery job for each."""
