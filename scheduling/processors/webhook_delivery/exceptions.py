"""What the webhooks' services refuse."""

from __future__ import annotations

from tenants.exceptions import DomainError


class WebhookNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", "There is no such webhook"


class WebhookNameTakenError(DomainError):
    code, category, title = "webhook_name_taken", "conflict", "Another webhook has this name"


class WebhookUrlError(DomainError):
    code, category, title = "webhook_url", "invalid", "This URL cannot be called"


class TooManyWebhooksError(DomainError):
    code, category, title = "too_many_webhooks", "invalid", "A tenant has no more webhooks than this"


class WebhookEventsError(DomainError):
    code, category, title = "webhook_events", "invalid", "Jobs have no such events"
