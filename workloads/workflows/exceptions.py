"""Errors of workflows."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class WorkflowNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such workflow.")


class WorkflowVersionNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("The workflow has no such version.")


class WorkflowNameTakenError(DomainError):
    code, category, title = "workflow_name_taken", "conflict", gettext_noop("A workflow with this name already exists.")


class WorkflowInvalidError(DomainError):
    code, category, title = "workflow_invalid", "invalid", gettext_noop("The workflow is not valid.")


class WorkflowChangedError(DomainError):
    code, category = "workflow_changed", "conflict"
    title = gettext_noop("The workflow has a newer version than the one that was read.")


class WorkflowInUseError(DomainError):
    code, category = "workflow_in_use", "conflict"
    title = gettext_noop("Runs of the workflow have not ended; wait for them, or cancel their jobs.")


class WorkflowDefinitionError(DomainError):
    """Raised for an invalid definition. `errors` has each fault with its code and its position as a JSON pointer."""

    code, category, title = "definition_invalid", "invalid", gettext_noop("The definition is not valid.")


class RunInputsInvalidError(DomainError):
    code, category = "inputs_invalid", "invalid"
    title = gettext_noop("The inputs do not match those that the workflow declares.")


class ApprovalNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such approval.")


class ApprovalEndedError(DomainError):
    code, category = "approval_ended", "conflict"
    title = gettext_noop("The approval is already decided or has expired.")
