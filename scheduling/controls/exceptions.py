"""Errors of controls."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class ControlFailedError(DomainError):
    code, category = "control_failed", "conflict"
    title = gettext_noop("Controls hold the job; a person with the right may override them with a reason")


class NotHeldByControlError(DomainError):
    code, category, title = "not_held_by_control", "conflict", gettext_noop("No control holds the job")
