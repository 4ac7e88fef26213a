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


class RunNotEndedError(DomainError):
    code, category = "run_not_ended", "conflict"
    title = gettext_noop("The run has not ended; wait for its end, or cancel its job.")


class RunNotReplayableError(DomainError):
    code, category = "run_not_replayable", "conflict"
    title = gettext_noop("Only a run of the platform's workflow engine can be replayed, with its own workflow.")


class NodeUnknownError(DomainError):
    code, category, title = "node_unknown", "invalid", gettext_noop("The workflow has no such node.")


class NodeInIterationError(DomainError):
    code, category = "node_in_iteration", "invalid"
    title = gettext_noop("A node of an iteration or a loop cannot be chosen; choose the iteration or the loop.")


class OutputsInvalidError(DomainError):
    code, category = "outputs_invalid", "invalid"
    title = gettext_noop("Only outputs of kept nodes can be edited, and not those of nodes that choose a branch.")


class OutputsGoneError(DomainError):
    code, category, title = "outputs_gone", "conflict", gettext_noop("Values of the run are not stored any more.")


class OutputsTooLargeError(DomainError):
    code, category, title = "outputs_too_large", "invalid", gettext_noop("The kept outputs are too large together.")


class WorkUndoneError(DomainError):
    code, category = "work_undone", "conflict"
    title = gettext_noop("The work of a kept node was undone when the run ended; choose it or a node before it.")


class ApprovalNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such approval.")


class ApprovalEndedError(DomainError):
    code, category = "approval_ended", "conflict"
    title = gettext_noop("The approval is already decided or has expired.")
