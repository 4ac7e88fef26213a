"""Errors of the outbox."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class OutboxMessageNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such message")


class OutboxMessageNotRetryableError(DomainError):
    code, category = "outbox_message_not_retryable", "conflict"
    title = gettext_noop("Only a message that was given up, or has no route, can be delivered again")


class OutboxRouteMissingError(DomainError):
    code, category = "outbox_route_missing", "conflict"
    title = gettext_noop("No enabled route matches the topic; create one first")
