"""What the platform does with its tenants. Every change is behind the door, audited, and told to the scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from tenants.context import all_tenants
from tenants.exceptions import (
    FieldInvalidError,
    PlanNotFoundError,
    ReasonRequiredError,
    SlugTakenError,
    TenantNotFoundError,
)
from tenants.models import Plan, Tenant, TenantStatus
from tenants.names import clean_name, clean_slug
from tenants.services.audit import record_audit
from tenants.services.changes import assign
from tenants.signals import tenant_scheduling_changed

_EDITABLE_FIELDS = frozenset({"name", "plan", "weight_factor", "max_concurrency"})
_SCHEDULING_FIELDS = frozenset({"plan", "weight_factor", "max_concurrency", "status", "is_paused"})


def create_tenant(*, slug: str, plan: Plan | str, name: str = "") -> Tenant:
    """A new tenant on `plan` (a Plan or its slug); the name is the slug if none is given."""
    slug = clean_slug(slug)
    name = clean_name(name or slug)
    with all_tenants():
        tenant = Tenant(slug=slug, name=name, plan=_find_plan(plan))
        try:
            with transaction.atomic():
                tenant.save(force_insert=True)
        except IntegrityError as error:
            raise SlugTakenError(f"A tenant with the slug {slug!r} exists.") from error
        after = {"slug": tenant.slug, "name": tenant.name, "plan": tenant.plan.slug}
        record_audit(action="tenant.created", target=tenant, after=after)
    return tenant


def update_tenant(*, tenant: Tenant, changes: Mapping[str, Any], reason: str = "") -> Tenant:
    """Change `name`, `plan`, `weight_factor` or `max_concurrency` of a tenant; the scheduler knows at once."""
    if strays := set(changes) - _EDITABLE_FIELDS:
        raise FieldInvalidError(f"{', '.join(sorted(strays))}: It cannot be edited.")
    return _change(tenant, "tenant.updated", dict(changes), reason)


def change_plan(*, tenant: Tenant, plan: Plan | str, reason: str = "") -> Tenant:
    """Put a tenant on another plan."""
    with all_tenants():
        return _change(tenant, "tenant.plan_changed", {"plan": _find_plan(plan)}, reason)


def suspend_tenant(*, tenant: Tenant, reason: str) -> Tenant:
    """The platform stops a tenant: nothing is accepted from it and nothing of it is dispatched."""
    changes = {"status": TenantStatus.SUSPENDED, "status_reason": _require_reason(reason)}
    return _change(tenant, "tenant.suspended", changes, reason)


def reinstate_tenant(*, tenant: Tenant, reason: str = "") -> Tenant:
    """Undo a suspension."""
    return _change(tenant, "tenant.reinstated", {"status": TenantStatus.ACTIVE, "status_reason": ""}, reason)


def pause_tenant(*, tenant: Tenant, reason: str) -> Tenant:
    """Hold a tenant's work back: it is accepted and waits. A tenant may do this to itself."""
    changes = {"is_paused": True, "pause_reason": _require_reason(reason)}
    return _change(tenant, "tenant.paused", changes, reason)


def resume_tenant(*, tenant: Tenant, reason: str = "") -> Tenant:
    """Undo a pause; a suspension stays."""
    return _change(tenant, "tenant.resumed", {"is_paused": False, "pause_reason": ""}, reason)


def _change(tenant: Tenant, action: str, changes: dict[str, Any], reason: str) -> Tenant:
    """Lock, assign, save, record, announce; without a difference nothing is written at all."""
    if "name" in changes:
        changes["name"] = clean_name(changes["name"])
    with all_tenants():
        locked = _lock(tenant)
        difference = assign(locked, changes)
        if difference:
            locked.save(update_fields=list(difference.after))
            record_audit(action=action, target=locked, before=difference.before, after=difference.after, reason=reason)
            if _SCHEDULING_FIELDS & set(difference.after):
                tenant_scheduling_changed.send(sender=Tenant, tenant_ids=[locked.pk])
    return locked


def _lock(tenant: Tenant) -> Tenant:
    locked = Tenant.objects.select_related("plan").select_for_update(of=("self",)).filter(pk=tenant.pk).first()
    if locked is None:
        raise TenantNotFoundError
    return locked


def _find_plan(plan: Plan | str) -> Plan:
    if isinstance(plan, Plan):
        return plan
    found = Plan.objects.filter(slug=plan).first()
    if found is None:
        raise PlanNotFoundError(f"There is no plan {plan!r}.")
    return found


def _require_reason(reason: str) -> str:
    if not reason.strip():
        raise ReasonRequiredError
    return clean_name(reason, field="reason", max_length=500)
