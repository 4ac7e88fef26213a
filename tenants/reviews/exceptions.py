"""Errors of access reviews."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class AccessReviewNotFoundError(DomainError):
    code, category, title = "access_review_not_found", "not_found", gettext_noop("There is no such access review.")


class AccessReviewLineNotFoundError(DomainError):
    code, category = "access_review_line_not_found", "not_found"
    title = gettext_noop("The access review has no such line.")


class AccessReviewOpenError(DomainError):
    """Raised if another review of the same tenant, or of the platform, is open."""

    code, category, title = "access_review_open", "conflict", gettext_noop("An access review is open; close it first.")


class AccessReviewClosedError(DomainError):
    code, category, title = "access_review_closed", "conflict", gettext_noop("The access review is closed.")


class AccessReviewUndecidedError(DomainError):
    """Raised if a review with open lines is to be closed."""

    code, category = "access_review_undecided", "conflict"
    title = gettext_noop("%(count)s lines have no decision yet.")


class AccessLineDecidedError(DomainError):
    code, category = "access_line_decided", "conflict"
    title = gettext_noop("These lines are decided: %(subjects)s.")


class AccessLineChangedError(DomainError):
    """Raised if a line is no longer as it was at the snapshot; nothing is decided then."""

    code, category = "access_line_changed", "conflict"
    title = gettext_noop("Changed since the snapshot: %(subjects)s. Refresh the review, and look at them again.")


class AccessLineOwnError(DomainError):
    code, category = "access_line_own", "forbidden"
    title = gettext_noop("Another person must decide about your own access: %(subjects)s.")


class AccessReviewLimitError(DomainError):
    code, category = "access_review_limit", "limited"
    title = gettext_noop("A review can have at most %(limit)s lines; this one would have %(count)s.")


class AccessReviewForbiddenError(DomainError):
    """Raised if the caller lacks a right that the decision needs beside that of the page."""

    code, category = "access_review_forbidden", "forbidden"
    title = gettext_noop("This requires the permission %(needed)s.")
