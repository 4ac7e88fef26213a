"""Webhooks: telling somebody outside, signed, and until they have heard."""
