"""Changes of workflows: each in one transaction with its audit entry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import ngettext

from scheduling.processors.workflow_execution.definition.validation import faults_in
from scheduling.processors.workflow_execution.exceptions import (
    DefinitionInvalidError,
    WorkflowChangedError,
    WorkflowInUseError,
    WorkflowInvalidError,
    WorkflowNameTakenError,
)
from scheduling.processors.workflow_execution.models import Workflow, WorkflowVersion
from scheduling.processors.workflow_execution.selectors import has_open_runs
from scheduling.processors.workflow_execution.tenant_settings import MAX_DEPTH
from tenants.context import current_actor, tenant_context
from tenants.models import Tenant
from tenants.secret_references import has_references
from tenants.selectors.settings import settings_of
from tenants.services.audit import record_audit
from tenants.services.secrets import require_use_of_secrets

MAX_DEFINITION_BYTES = 512 * 1024


def check_definition(tenant: Tenant, definition: Any) -> None:
    """Raise DefinitionInvalidError with every fault and its place."""
    if len(json.dumps(definition, ensure_ascii=False).encode("utf-8", "replace")) > MAX_DEFINITION_BYTES:
        raise DefinitionInvalidError(
            "The definition has more than %(limit)s bytes.", {"limit": f"{MAX_DEFINITION_BYTES:,}"}
        )
    faults = faults_in(definition, max_depth=settings_of(tenant)[MAX_DEPTH.key])
    if faults:
        text = ngettext("One fault in the definition.", "%(count)s faults in the definition.", len(faults))
        raise DefinitionInvalidError(text, {"count": len(faults)}, errors=[fault.describe() for fault in faults])


def check_use_of_secrets(definition: Any) -> None:
    """Raise `SecretUseDeniedError` for a definition that refers to secrets, where who acts may not use any."""
    if has_references(definition):
        require_use_of_secrets()


def create_workflow(
    *, tenant: Tenant, name: str, definition: Mapping[str, Any], description: str = "", note: str = ""
) -> Workflow:
    """Make a workflow with its first version."""
    check_definition(tenant, definition)
    check_use_of_secrets(definition)
    with tenant_context(tenant):
        workflow = Workflow(tenant=tenant, name=name, description=description)
        _save(workflow)
        _append_version(workflow, definition, note)
        record_audit(action="workflow.created", target=workflow, after={**_facts(workflow), "version": 1})
    return workflow


def update_workflow(*, workflow: Workflow, **changes: str) -> Workflow:
    """Change name or description; what the workflow does is changed by a new version."""
    if unknown := changes.keys() - {"name", "description"}:
        raise TypeError(f"A workflow has no {', '.join(sorted(unknown))}.")
    with transaction.atomic():
        locked = _lock(workflow)
        before = _facts(locked)
        for name, value in changes.items():
            setattr(locked, name, value)
        _save(locked)
        record_audit(action="workflow.updated", target=locked, before=before, after=_facts(locked))
    return locked


def add_version(
    *, tenant: Tenant, workflow: Workflow, definition: Mapping[str, Any], note: str = "", based_on: int | None = None
) -> WorkflowVersion:
    """Store a definition as the next version; runs that are under way keep theirs.

    ``based_on`` is the version that the caller has read; WorkflowChangedError when there is a newer one.
    """
    check_definition(tenant, definition)
    check_use_of_secrets(definition)
    with transaction.atomic():
        locked = _lock(workflow)
        if based_on is not None and based_on != locked.latest_version:
            raise WorkflowChangedError(
                "It is at version %(current)s, not %(based_on)s.",
                {"current": locked.latest_version, "based_on": based_on},
            )
        version = _append_version(locked, definition, note)
        record_audit(
            action="workflow.version_added",
            target=locked,
            before={"version": version.number - 1},
            after={"version": version.number, "note": note},
        )
    return version


def delete_workflow(*, workflow: Workflow, reason: str = "") -> None:
    """Delete a workflow with its versions; WorkflowInUseError while a run of it has not ended. Ended runs stay."""
    with transaction.atomic():
        locked = _lock(workflow)
        if has_open_runs(locked.pk):
            raise WorkflowInUseError
        record_audit(
            action="workflow.deleted",
            target=locked,
            before={**_facts(locked), "version": locked.latest_version},
            reason=reason,
        )
        # Versions and approvals go with it, by the database's own keys.
        Workflow.objects.filter(pk=locked.pk).delete()


def _append_version(workflow: Workflow, definition: Mapping[str, Any], note: str) -> WorkflowVersion:
    actor = current_actor()
    workflow.latest_version += 1
    workflow.save(update_fields=["latest_version"])
    version: WorkflowVersion = WorkflowVersion.objects.create(
        tenant_id=workflow.tenant_id,
        workflow=workflow,
        number=workflow.latest_version,
        definition=definition,
        note=note,
        created_by=(actor.label or actor.id or actor.kind)[:200],
    )
    return version


def _lock(workflow: Workflow) -> Workflow:
    locked: Workflow = Workflow.objects.select_for_update().get(pk=workflow.pk)
    return locked


def _save(workflow: Workflow) -> None:
    try:
        # Uniqueness is left to the database, which decides it also between two requests at once.
        workflow.full_clean(exclude=["tenant"], validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        errors = [
            {"field": field, "code": "workflow_invalid", "detail": " ".join(messages)}
            for field, messages in error.message_dict.items()
        ]
        raise WorkflowInvalidError(errors=errors) from error
    try:
        with transaction.atomic():
            workflow.save()
    except IntegrityError as error:
        if "workflow_name_unique" not in str(error):
            raise
        raise WorkflowNameTakenError("There is a workflow %(name)r already.", {"name": workflow.name}) from error


def _facts(workflow: Workflow) -> dict[str, str]:
    return {"name": workflow.name, "description": workflow.description}
