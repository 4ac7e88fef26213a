"""Service for tenants. Each change runs in the scope of all tenants, is audited, and notifies the scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_noop

from tenants.approvals.service import require_approval
from tenants.audit.service import record_audit
from tenants.context import all_tenants, current_actor
from tenants.database.reads import first_or_raise
from tenants.encryption.data_keys import new_data_key
from tenants.encryption.fields import is_sealing
from tenants.exceptions import (
    DomainError,
    ErasureOpenError,
    FieldInvalidError,
    PlanNotFoundError,
    SlugTakenError,
    TenantNotFoundError,
)
from tenants.models import ErasureStatus, Plan, Tenant, TenantDataKey, TenantErasure, TenantStatus
from tenants.signals import running_work_unwanted, tenant_regions_changed, tenant_scheduling_changed
from tenants.tenancy.bases import clean_name, clean_slug
from tenants.tenancy.changes import assign
from tenants.tenancy.pausing import actor_words, check_until, require_reason
from tenants.tenancy.regions import check_regions
from tenants.translation import translate

_REGION_FIELDS = frozenset({"home_region", "allowed_regions"})
_EDITABLE_FIELDS = frozenset({"name", "plan", "weight_factor", "max_concurrency"}) | _REGION_FIELDS
_OPEN = (ErasureStatus.PENDING, ErasureStatus.RUNNING)
# Of the address of the caller's own tenant, `tenants/me/`.
OWN_SLUG = "me"
# Most tenants whose stop one run ends; the others follow half a second later.
LIFT_LIMIT = 50
_NOT_PAUSED: Mapping[str, Any] = {
    "is_paused": False,
    "pause_reason": "",
    "paused_by": "",
    "paused_at": None,
    "paused_until": None,
    "is_paused_by_platform": False,
}
_NOT_DRAINING: Mapping[str, Any] = {
    "is_draining": False,
    "drain_reason": "",
    "draining_by": "",
    "draining_at": None,
    "draining_until": None,
    "drained_at": None,
    "is_draining_by_platform": False,
}
_NOT_SUSPENDED: Mapping[str, Any] = {
    "status": TenantStatus.ACTIVE,
    "status_reason": "",
    "suspended_by": "",
    "suspended_at": None,
    "suspended_until": None,
}
_SCHEDULING_FIELDS = frozenset({"plan", "weight_factor", "max_concurrency", "status", "is_paused"}) | _REGION_FIELDS


class StoppedByPlatformError(DomainError):
    code, category = "stopped_by_platform", "conflict"
    title = gettext_noop("The platform has stopped the tenant's work; only the platform can resume it.")


def create_tenant(*, slug: str, plan: Plan | str, name: str = "") -> Tenant:
    """Create a tenant with a plan, given as a `Plan` or a slug. Without a name the slug is the name.

    Raise `FieldInvalidError` for an invalid slug and for OWN_SLUG, `SlugTakenError` if the slug is taken, and
    `PlanNotFoundError` if there is no such plan.
    """
    if clean_slug(slug) == OWN_SLUG:
        detail = translate("The API uses %(slug)s for each caller's own tenant. Choose another slug.", {"slug": slug})
        fault = {"field": "slug", "code": FieldInvalidError.code, "detail": detail}
        raise FieldInvalidError(f"slug: {detail}", errors=[fault])
    name = clean_name(name or slug)
    with all_tenants():
        tenant = Tenant(slug=slug, name=name, plan=_find_plan(plan))
        try:
            with transaction.atomic():
                tenant.save(force_insert=True)
        except IntegrityError as error:
            raise SlugTakenError("A tenant with the slug %(slug)r already exists.", {"slug": slug}) from error
        if is_sealing():
            # Created beforehand: a key is cached only after the transaction that created it.
            TenantDataKey.objects.bulk_create([new_data_key(tenant.pk)])
        after = {"slug": tenant.slug, "name": tenant.name, "plan": tenant.plan.slug}
        record_audit(action="tenant.created", target=tenant, after=after)
    return tenant


def update_tenant(*, tenant: Tenant, changes: Mapping[str, Any], reason: str = "") -> Tenant:
    """Change a tenant's name, plan, weight factor, cap, home region or allowed regions; the scheduler is notified.

    The plan is given as a `Plan` or a slug. Raise `FieldInvalidError` for any other field or an invalid value, and
    `PlanNotFoundError` if there is no such plan.
    """
    if strays := set(changes) - _EDITABLE_FIELDS:
        raise FieldInvalidError("%(names)s: It cannot be edited.", {"names": ", ".join(sorted(strays))})
    if "plan" in changes:
        values = {name: value.slug if isinstance(value, Plan) else value for name, value in changes.items()}
        require_approval(
            "plan",
            {"tenant": str(tenant.pk), "changes": values, "reason": reason},
            preview=f"{tenant.slug}: {', '.join(f'{name} → {value}' for name, value in values.items())}",
            tenant_id=tenant.pk,
        )
    return _change(tenant, "tenant.updated", dict(changes), reason)


def suspend_tenant(
    *, tenant: Tenant, reason: str, until: datetime | None = None, cancel_running: bool = False
) -> Tenant:
    """Suspend a tenant: from now on none of its jobs is accepted or dispatched.

    Running jobs continue unless `cancel_running`. If the tenant is suspended already, the reason and the end change.
    """
    changes = {
        "status": TenantStatus.SUSPENDED,
        "status_reason": require_reason(reason),
        "suspended_until": until,
    }
    with all_tenants():
        suspended = _stop(tenant, "tenant.suspended", "suspended", changes, reason)
        if cancel_running:
            running_work_unwanted.send(sender=Tenant, tenant_id=tenant.pk, reason=reason)
    return suspended


def reinstate_tenant(*, tenant: Tenant, reason: str = "") -> Tenant:
    """End a tenant's suspension; raise `ErasureOpenError` while an erasure of the tenant is pending or running."""
    with all_tenants():
        # A request for erasure holds this lock: without it, one that is in progress would not be seen.
        _lock(tenant)
        if TenantErasure.objects.filter(subject_id=tenant.pk, status__in=_OPEN).exists():
            raise ErasureOpenError("The tenant is being erased; cancel the erasure first, if it is still pending.")
        return _change(tenant, "tenant.reinstated", dict(_NOT_SUSPENDED), reason)


def pause_tenant(*, tenant: Tenant, reason: str, until: datetime | None = None) -> Tenant:
    """Pause a tenant: its jobs are still accepted, but wait. A tenant may pause itself.

    If the tenant is paused already, the reason and the end change. Raise `StoppedByPlatformError` if a tenant would
    change a pause that the platform has set.
    """
    changes = {
        "is_paused": True,
        "pause_reason": require_reason(reason),
        "paused_until": until,
        "is_paused_by_platform": not current_actor().is_of_tenant,
    }
    return _stop(tenant, "tenant.paused", "paused", changes, reason)


def drain_tenant(*, tenant: Tenant, reason: str, until: datetime | None = None) -> Tenant:
    """Drain a tenant: new jobs are refused, and existing ones run. A tenant may drain itself.

    Raise `StoppedByPlatformError` if a tenant would change a drain that the platform has set.
    """
    changes = {
        "is_draining": True,
        "drain_reason": require_reason(reason),
        "draining_until": until,
        "drained_at": None,
        "is_draining_by_platform": not current_actor().is_of_tenant,
    }
    return _stop(tenant, "tenant.draining", "draining", changes, reason)


def resume_tenant(*, tenant: Tenant, reason: str = "") -> Tenant:
    """End a tenant's pause and drain. A suspension stays.

    A tenant can end only the stops that it has set itself. Raise `StoppedByPlatformError` if all that is left was set
    by the platform.
    """
    with all_tenants():
        locked = _lock(tenant)
        is_of_tenant = current_actor().is_of_tenant
        changes: dict[str, Any] = {}
        if locked.is_paused and not (is_of_tenant and locked.is_paused_by_platform):
            changes |= _NOT_PAUSED
        if locked.is_draining and not (is_of_tenant and locked.is_draining_by_platform):
            changes |= _NOT_DRAINING
        if not changes and (locked.is_paused or locked.is_draining):
            raise StoppedByPlatformError
        return _change(tenant, "tenant.resumed", changes, reason)


def expire_due_tenant_stops() -> int:
    """End the pauses, drains and suspensions whose end time is reached. Return how many were ended.

    One call ends at most LIFT_LIMIT of each. Several processes may run it at once.
    """
    lifted = 0
    with all_tenants():
        now = check_until(None)
        for column, action, changes in (
            ("paused", "tenant.resumed", _NOT_PAUSED),
            ("draining", "tenant.resumed", _NOT_DRAINING),
            ("suspended", "tenant.reinstated", _NOT_SUSPENDED),
        ):
            due = Tenant.objects.filter(**{f"{column}_until__lte": now}).select_for_update(
                no_key=True, skip_locked=True
            )
            for tenant in due.order_by("pk")[:LIFT_LIMIT]:
                _change(tenant, action, dict(changes), "its end time was reached")
                lifted += 1
    return lifted


def _stop(tenant: Tenant, action: str, facts: str, changes: dict[str, Any], reason: str) -> Tenant:
    """Stop work in one of the three ways; actor and start are in the columns that begin with `facts`."""
    with all_tenants():
        now = check_until(changes[f"{facts}_until"])
        locked = _lock(tenant)
        if current_actor().is_of_tenant and getattr(locked, f"is_{facts}_by_platform", False):
            raise StoppedByPlatformError
        since = getattr(locked, f"{facts}_at") or now
        if any(getattr(locked, name) != value for name, value in changes.items() if name != "drained_at"):
            changes |= {f"{facts}_by": actor_words(), f"{facts}_at": since}
        else:
            return locked
        return _change(tenant, action, changes, reason)


def _change(tenant: Tenant, action: str, changes: dict[str, Any], reason: str) -> Tenant:
    """Lock, assign, save, audit and notify; without a difference nothing is written."""
    if "name" in changes:
        changes["name"] = clean_name(changes["name"])
    with all_tenants():
        if "plan" in changes:
            changes["plan"] = _find_plan(changes["plan"])
        locked = _lock(tenant)
        difference = assign(locked, changes)
        if difference:
            check_regions(home=locked.home_region, allowed=locked.allowed_regions)
            locked.save(update_fields=list(difference.after))
            record_audit(action=action, target=locked, before=difference.before, after=difference.after, reason=reason)
            if _SCHEDULING_FIELDS & set(difference.after):
                tenant_scheduling_changed.send(sender=Tenant, tenant_ids=[locked.pk])
            if _REGION_FIELDS & set(difference.after):
                tenant_regions_changed.send(sender=Tenant, tenant_id=locked.pk)
    return locked


def _lock(tenant: Tenant) -> Tenant:
    return first_or_raise(
        Tenant.objects.select_related("plan").select_for_update(no_key=True, of=("self",)).filter(pk=tenant.pk),
        TenantNotFoundError,
    )


def _find_plan(plan: Plan | str) -> Plan:
    if isinstance(plan, Plan):
        return plan
    return first_or_raise(
        Plan.objects.filter(slug=plan), PlanNotFoundError("There is no plan %(plan)r.", {"plan": plan})
    )
