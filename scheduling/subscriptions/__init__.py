"""Subscriptions of webhooks to job events: a relay submits a delivery job for each event and subscriber."""
