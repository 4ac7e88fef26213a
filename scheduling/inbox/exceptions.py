"""Errors of the inbox."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class EventMismatchError(DomainError):
    code, category = "event_mismatch", "conflict"
    title = gettext_noop("The source has sent another event with this id; give each event an id of its own")


class EventTooLargeError(DomainError):
    code, category, title = "event_too_large", "too_large", gettext_noop("The event's data is too large")
