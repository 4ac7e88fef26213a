"""Errors of load states."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class OverloadedError(DomainError):
    code, category, title = "overloaded", "unavailable", gettext_noop("The platform is overloaded; try again later")


class FeatureOffError(DomainError):
    code, category = "feature_off", "unavailable"
    title = gettext_noop("The feature is switched off while the platform is under load; try again later")


class LoadScopeNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such load state")
