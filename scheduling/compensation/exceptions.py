"""Errors of compensations."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class CompensationNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such compensation")


class CompensationNotOpenError(DomainError):
    code, category = "compensation_not_open", "conflict"
    title = gettext_noop("Only a compensation that needs attention can be retried or marked as settled")
