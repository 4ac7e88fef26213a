"""Errors of webhooks."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class WebhookNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such webhook.")


class WebhookNameTakenError(DomainError):
    code, category, title = "webhook_name_taken", "conflict", gettext_noop("A webhook with this name already exists.")


class WebhookUrlError(DomainError):
    code, category, title = "webhook_url", "invalid", gettext_noop("This URL cannot be called.")


class TooManyWebhooksError(DomainError):
    code, category, title = (
        "too_many_webhooks",
        "invalid",
        gettext_noop("The tenant has reached its limit of webhooks."),
    )


class WebhookEventsError(DomainError):
    code, category, title = "webhook_events", "invalid", gettext_noop("There are no such events of jobs.")
