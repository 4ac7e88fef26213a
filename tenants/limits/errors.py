"""Errors of the limits that the tenants app declares."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class ApiKeyLimitError(DomainError):
    """Raised if a tenant has as many API keys as its plan allows."""

    code, category, title = "api_key_limit", "invalid", gettext_noop("The plan allows no more API keys.")


class RequestRateError(DomainError):
    """Raised if a caller's requests cost more than its request rate allows."""

    code, category, title = "rate_limited", "limited", gettext_noop("Requests exceed the rate.")
