"""What workflows refuse."""

from __future__ import annotations

from tenants.exceptions import DomainError


class WorkflowNotFoundError(DomainError):
    code = "not_found"
    category = "not_found"
    title = "There is no such workflow."


class WorkflowVersionNotFoundError(DomainError):
    code = "not_found"
    category = "not_found"
    title = "The workflow has no such version."


class WorkflowNameTakenError(DomainError):
    code = "workflow_name_taken"
    category = "conflict"
    title = "There is a workflow of this name."


class WorkflowInvalidError(DomainError):
    code = "workflow_invalid"
    category = "invalid"
    title = "The workflow is not valid."


class WorkflowChangedError(DomainError):
    code = "workflow_changed"
    category = "conflict"
    title = "The workflow has a newer version than the one that was read."


class WorkflowInUseError(DomainError):
    code = "workflow_in_use"
    category = "conflict"
    title = "Runs of the workflow have not ended; wait for them, or cancel their jobs."


class DefinitionInvalidError(DomainError):
    """`errors` tells each fault with its code and its place, a JSON pointer into the definition."""

    code = "definition_invalid"
    category = "invalid"
    title = "The definition is not valid."


class RunInputsInvalidError(DomainError):
    code = "inputs_invalid"
    category = "invalid"
    title = "The inputs are not those that the workflow takes."


class ApprovalNotFoundError(DomainError):
    code = "not_found"
    category = "not_found"
    title = "There is no such approval."


class ApprovalEndedError(DomainError):
    code = "approval_ended"
    category = "conflict"
    title = "The approval is decided already, or its time is over."
