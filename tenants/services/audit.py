"""The record of acts: one entry a change, in the transaction of the change and rolled back with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import models

from tenants.context import current_actor, current_tenant_id
from tenants.masking import mask_document, mask_text
from tenants.models import AuditLogEntry, Tenant

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
    actor = current_actor()
    entry = AuditLogEntry(
        tenant_id=described.tenant_id or current_tenant_id(),
        actor_kind=actor.kind,
        actor_id=actor.id[:64],
        actor_label=mask_text(actor.label)[:200],
        request_id=actor.request_id[:64],
        action=action,
        target_type=described.type,
        target_id=mask_text(described.id)[:64],
        before=mask_document(before),
        after=mask_document(after),
        reason=mask_text(reason)[:500],
    )
    if not _is_part_of_act.get():
        entry.save(force_insert=True)
    return entry


def _describe(target: models.Model) -> AuditTarget:
    tenant_id = target.pk if isinstance(target, Tenant) else getattr(target, "tenant_id", None)
    return AuditTarget(type=target._meta.label_lower, id=str(target.pk), tenant_id=tenant_id)
