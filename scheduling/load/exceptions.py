"""Errors of load states."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class LoadScopeNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such load state")
