"""Errors of workflow runs."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class WorkflowRunNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such workflow run.")


class RunTakenError(DomainError):
    """Raised if a record from outside has the id of a job, of a run of the platform, or of another tenant's run."""

    code, category, title = "workflow_run_taken", "conflict", gettext_noop("The id belongs to another run or job.")
