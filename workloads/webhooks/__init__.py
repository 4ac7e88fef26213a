"""Webhooks: signed notifications of external services, retried until delivered."""
