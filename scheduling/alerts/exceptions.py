"""Errors of alerts."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class MeasureUnknownError(DomainError):
    code, category, title = "measure_unknown", "invalid", gettext_noop("There is no such measure")


class AlertNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such alert")


class AlertResolvedError(DomainError):
    code, category, title = "alert_resolved", "conflict", gettext_noop("The alert is resolved")


class AlertStillBeyondError(DomainError):
    code, category = "alert_still_firing", "conflict"
    title = gettext_noop("The value is still beyond the threshold; silence the alert instead")


class AlertRuleDoubtfulError(DomainError):
    code, category = "alert_rule_doubtful", "conflict"
    title = gettext_noop("The rule would never fire, or would fire too often; confirm it to save it anyway")


class TooManyTestsError(DomainError):
    code, category, title = "too_many_tests", "limited", gettext_noop("The contact was tested too often")
