"""Errors of acts that need a second person."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class ApprovalRequiredError(DomainError):
    """Raised instead of an act that needs a second person; the request for it is stored when the call has ended."""

    code, category, title = "approval_required", "conflict", gettext_noop("A second person must approve this.")


class ApprovalRequestNotFoundError(DomainError):
    code, category, title = (
        "approval_request_not_found",
        "not_found",
        gettext_noop("There is no such request."),
    )


class ApprovalRequestClosedError(DomainError):
    """Raised if a request has expired, or was decided before."""

    code, category = "approval_request_closed", "conflict"
    title = gettext_noop("The request was decided before, or has expired.")


class ApprovalForbiddenError(DomainError):
    """Raised if the caller may not decide a request."""

    code, category, title = "approval_forbidden", "forbidden", gettext_noop("You cannot decide this request.")


class ApprovalLimitError(DomainError):
    code, category, title = "approval_limit", "limited", gettext_noop("Too many requests wait for approval.")
