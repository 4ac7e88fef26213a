"""What may be refused about runs."""

from __future__ import annotations

from tenants.exceptions import DomainError


class RunNotFoundError(DomainError):
    code = "not_found"
    category = "not_found"
    title = "There is no such workflow run."


class RunNotStoredError(Exception):
    """A node was recorded of a run that is not stored: the first write of a run holds the run."""
