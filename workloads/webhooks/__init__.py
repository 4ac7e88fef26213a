"""Webhooks: signed notifications of events, sent to tenants' URLs and retried until they are accepted."""
