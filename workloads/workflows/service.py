"""Service that changes workflows. Each change is one transaction with its audit entry."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_noop, ngettext

from scheduling.jobs.requests import is_submittable
from scheduling.kit.http import refusal_of
from tenants.audit.service import record_audit
from tenants.context import tenant_context
from tenants.database.reads import first_or_raise
from tenants.exceptions import DomainError
from tenants.models import Tenant
from tenants.secrets.references import has_references
from tenants.secrets.service import require_use_of_secrets
from tenants.settings.schema import settings_of
from tenants.tenancy.changes import Difference
from tenants.versions.hooks import Content
from tenants.versions.service import Versioned
from workloads.model_endpoints.lookup import endpoint_names
from workloads.workflows.definition.graph_checks import depth_of
from workloads.workflows.definition.tenant_checks import TenantBounds
from workloads.workflows.definition.validation import faults_in
from workloads.workflows.exceptions import (
    WorkflowChangedError,
    WorkflowDefinitionError,
    WorkflowInUseError,
    WorkflowInvalidError,
    WorkflowNameTakenError,
    WorkflowNotFoundError,
)
from workloads.workflows.models import Workflow, WorkflowVersion
from workloads.workflows.queries import count_open_runs, has_open_runs
from workloads.workflows.tenant_settings import MAX_DEPTH, PARALLEL_NODES

MAX_DEFINITION_BYTES = 512 * 1024


def check_definition(tenant: Tenant | UUID, definition: Any, *, own_names: Collection[str] = ()) -> None:
    """Raise `WorkflowDefinitionError` if the definition is invalid, with each fault and its position.

    ``own_names`` are the id and the name of the workflow, which it may not call.
    """
    check_size(definition, WorkflowDefinitionError)
    faults = faults_in(definition, bounds_of(tenant, own_names))
    if faults:
        text = ngettext("One fault in the definition.", "%(count)s faults in the definition.", len(faults))
        raise WorkflowDefinitionError(text, {"count": len(faults)}, errors=[fault.describe() for fault in faults])


def check_size(definition: Any, refusal: type[DomainError]) -> None:
    """Raise the refusal if the definition is larger than any may be."""
    if len(json.dumps(definition, ensure_ascii=False).encode("utf-8", "replace")) > MAX_DEFINITION_BYTES:
        text = gettext_noop("The definition has more than %(limit)s bytes.")
        raise refusal(text, {"limit": f"{MAX_DEFINITION_BYTES:,}"})


def bounds_of(tenant: Tenant | UUID, own_names: Collection[str] = ()) -> TenantBounds:
    """Return what a tenant may use in a definition; ``own_names`` are the id and the name of the workflow."""
    settings = settings_of(tenant)
    return TenantBounds(
        max_depth=settings[MAX_DEPTH.key],
        max_parallel=settings[PARALLEL_NODES.key],
        endpoints=endpoint_names(tenant.pk if isinstance(tenant, Tenant) else tenant),
        own_names=own_names,
        is_submittable=is_submittable,
        refusal_of=refusal_of,
    )


def check_use_of_secrets(definition: Any) -> None:
    """Raise `SecretUseDeniedError` if the definition refers to secrets and the current actor may not use them."""
    if has_references(definition):
        require_use_of_secrets()


def create_workflow(
    *, tenant: Tenant, name: str, definition: Mapping[str, Any], description: str = "", note: str = ""
) -> Workflow:
    """Create a workflow with its first version. Raise `WorkflowNameTakenError` if the name is taken."""
    check_definition(tenant, definition, own_names=[name])
    check_use_of_secrets(definition)
    with tenant_context(tenant):
        workflow = Workflow(tenant=tenant, name=name, description=description)
        _save(workflow)
        WORKFLOWS.begin(workflow, content=dict(definition), reason=note)
        record_audit(action="workflow.created", target=workflow, after={**_facts(workflow), "version": 1})
    return workflow


def update_workflow(*, workflow: Workflow, **changes: str) -> Workflow:
    """Change the name or description of a workflow. The definition is changed by `add_version`."""
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
    *,
    workflow: Workflow,
    definition: Mapping[str, Any],
    note: str = "",
    based_on: int | None = None,
    effective_from: datetime | None = None,
) -> WorkflowVersion:
    """Store a definition as the next version of a workflow; open runs keep their version.

    With ``effective_from`` it takes effect at that time, else now. ``based_on`` is the version that the caller has
    read: raise `WorkflowChangedError` if it is not the one in effect.
    """
    version = WORKFLOWS.edit(
        workflow,
        lambda content: dict(definition),
        reason=note,
        expected_version=based_on,
        effective_from=effective_from,
    )
    return cast("WorkflowVersion", version)


def delete_workflow(*, workflow: Workflow, reason: str = "") -> None:
    """Delete a workflow with its versions and approvals; the records of its runs stay.

    Raise `WorkflowInUseError` while a run of it has not ended.
    """
    with transaction.atomic():
        locked = _lock(workflow)
        if has_open_runs(locked.pk):
            raise WorkflowInUseError
        record_audit(
            action="workflow.deleted",
            target=locked,
            before={**_facts(locked), "version": locked.version},
            reason=reason,
        )
        # Foreign keys of the database delete its versions and approvals.
        Workflow.objects.filter(pk=locked.pk).delete()


class _Workflows(Versioned[Workflow]):
    """Versioned definitions of workflows."""

    noun = owner = "workflow"
    changed_action = "workflow.version_added"
    versions = WorkflowVersion
    is_tenants = True
    writes_unchanged = True

    def find(self, name: str) -> Workflow:
        return first_or_raise(Workflow.objects.filter(name=name), WorkflowNotFoundError)

    def scope(self, row: Workflow) -> AbstractContextManager[None]:
        return tenant_context(row.tenant_id)

    def lock(self, row: Workflow) -> Workflow:
        return first_or_raise(Workflow.objects.select_for_update(no_key=True).filter(pk=row.pk), WorkflowNotFoundError)

    def describe(self, row: Workflow) -> Content:
        content: Content = WorkflowVersion.objects.values_list("content", flat=True).get(
            workflow=row, number=row.version
        )
        return content

    def check(self, row: Workflow, content: Mapping[str, Any]) -> None:
        check_definition(row.tenant_id, content, own_names=[str(row.pk), row.name])

    def authorise(self, content: Mapping[str, Any]) -> None:
        check_use_of_secrets(content)

    def check_due(self, row: Workflow, content: Mapping[str, Any]) -> None:
        # The rest was checked when it was written; a dispatcher does not parse a whole definition again.
        limit = settings_of(row.tenant_id)[MAX_DEPTH.key]
        if depth_of(content) > limit:
            raise WorkflowDefinitionError(
                "Iterations and loops may be nested at most %(limit)s deep.", {"limit": limit}
            )

    def put(self, row: Workflow, content: Mapping[str, Any]) -> None:
        row.save(update_fields=["version"])

    def flatten(self, content: Mapping[str, Any]) -> dict[str, Any]:
        others = {name: value for name, value in content.items() if name not in ("nodes", "edges")}
        nodes = _named(content, "nodes", lambda node: str(node["id"]))
        return others | nodes | _named(content, "edges", _edge_name)

    def overtaken(self, row: Workflow, expected: int) -> DomainError:
        return WorkflowChangedError(
            "It is at version %(current)s, not %(based_on)s.", {"current": row.version, "based_on": expected}
        )

    def audited(self, difference: Difference) -> Difference:
        # Nodes contain what the tenant's own pages show; an audit entry names only the versions.
        return Difference({}, {})

    def effects(self, row: Workflow) -> Mapping[str, Any]:
        return {"runs": count_open_runs(row.pk)}


WORKFLOWS = _Workflows()


def _named(content: Mapping[str, Any], key: str, name: Callable[[Any], str]) -> dict[str, Any]:
    """Return the items of a list by their names; an item without one, in a definition with faults, by its position."""
    items = content.get(key)
    if not isinstance(items, list):
        return {key: items} if key in content else {}
    found: dict[str, Any] = {}
    for number, item in enumerate(items):
        try:
            found[f"{key}.{name(item)}"] = item
        except (KeyError, TypeError):
            found[f"{key}.#{number}"] = item
    return found


def _edge_name(edge: Any) -> str:
    case = f" ({edge['case']})" if "case" in edge else ""
    return f"{edge['from']} → {edge['to']}{case}"


def _lock(workflow: Workflow) -> Workflow:
    locked: Workflow = Workflow.objects.select_for_update().get(pk=workflow.pk)
    return locked


def _save(workflow: Workflow) -> None:
    try:
        # The database checks uniqueness, also between two concurrent requests.
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
