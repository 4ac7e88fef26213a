"""The record of acts: one entry a change, in the transaction of the change and rolled back with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import models
from psycopg.types.json import Jsonb

from tenants.audit.masking import mask_document, mask_text
from tenants.context import current_actor, current_tenant_id
from tenants.database.ids import uuid7
from tenants.models import AuditLogEntry, Tenant

_INSERTED = (
    "id",
    "tenant_id",
    "actor_kind",
    "actor_id",
    "actor_label",
    "action",
    "target_type",
    "target_id",
    "after",
    "reason",
    "request_id",
)
# A part of a statement, by the parameters of `entry_parameters`.
INSERT_ENTRY = f"""
    INSERT INTO tenants_auditlogentry ({", ".join(_INSERTED)})
    VALUES ({", ".join(f"%(entry_{name})s" for name in _INSERTED)})
"""  # noqa: S608 - names of columns

_is_part_of_act: ContextVar[bool] = ContextVar("audit_is_part_of_act", default=False)


@dataclass(frozen=True, slots=True)
class AuditTarget:
    """What an act was done to when it is no single row: the jobs of a filter, a file."""

    type: str
    id: str = ""
    tenant_id: UUID | None = None


@contextmanager
def part_of_act() -> Iterator[None]:
    """What is done inside is a part of a greater act, whose own entry the caller writes: one act, one entry."""
    token = _is_part_of_act.set(True)
    try:
        yield
    finally:
        _is_part_of_act.reset(token)


def record_audit(
    *,
    action: str,
    target: models.Model | AuditTarget,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> AuditLogEntry:
    """Write down that the current actor did `action` (such as `tenant.suspended`) to `target`.

    Secrets and payloads are masked here, so that no caller can forget it; the sealer gives the entry its place.
    """
    described = target if isinstance(target, AuditTarget) else _describe(target)
    values = _values(action, described, before=before, after=after, reason=reason)
    entry = AuditLogEntry(tenant_id=described.tenant_id or current_tenant_id(), **values)
    if not _is_part_of_act.get():
        entry.save(force_insert=True)
    return entry


def entry_parameters(*, action: str, target: AuditTarget, after: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same for a statement that writes the entry by `INSERT_ENTRY` together with the change: its parameters.

    None: it is a part of an act, and writes none.
    """
    if _is_part_of_act.get():
        return None
    values = _values(action, target, after=after)
    values |= {"after": Jsonb(values["after"]), "id": uuid7(), "tenant_id": target.tenant_id or current_tenant_id()}
    return {f"entry_{name}": values[name] for name in _INSERTED}


def _values(
    action: str,
    target: AuditTarget,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> dict[str, Any]:
    actor = current_actor()
    return {
        "actor_kind": actor.kind,
        "actor_id": actor.id[:64],
        "actor_label": mask_text(actor.label)[:200],
        "request_id": actor.request_id[:64],
        "action": action,
        "target_type": target.type,
        "target_id": mask_text(target.id)[:64],
        "before": mask_document(before),
        "after": mask_document(after),
        "reason": mask_text(reason)[:500],
    }


def _describe(target: models.Model) -> AuditTarget:
    tenant_id = target.pk if isinstance(target, Tenant) else getattr(target, "tenant_id", None)
    return AuditTarget(type=target._meta.label_lower, id=str(target.pk), tenant_id=tenant_id)
