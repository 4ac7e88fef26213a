"""Changing what a plan grants; its tenants feel it at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError, PlanNotFoundError
from tenants.models import Plan, PlanLimit, Tenant, Tier
from tenants.names import clean_name, clean_slug
from tenants.services.audit import record_audit
from tenants.services.changes import Difference, assign
from tenants.signals import tenant_scheduling_changed


def create_tier(*, slug: str, name: str, rank: int) -> Tier:
    """A new class of service; a greater rank is a better one."""
    with all_tenants():
        tier = Tier()
        created = assign(tier, {"slug": clean_slug(slug), "name": clean_name(name, max_length=100), "rank": rank})
        tier.save(force_insert=True)
        record_audit(action="tier.created", target=tier, after=created.after)
    return tier


def update_tier(*, tier: Tier, changes: Mapping[str, Any]) -> Tier:
    """Change `name` or `rank` of a tier; its slug is what others know it by and stays."""
    if strays := set(changes) - {"name", "rank"}:
        raise FieldInvalidError(f"{', '.join(sorted(strays))}: It cannot be edited.")
    with all_tenants():
        locked = Tier.objects.select_for_update().get(pk=tier.pk)
        difference = assign(locked, dict(changes))
        if difference:
            locked.save(update_fields=list(difference.after))
            record_audit(action="tier.updated", target=locked, before=difference.before, after=difference.after)
    return locked


def create_plan(*, values: Mapping[str, Any], limits: Mapping[str, int] | None = None) -> Plan:
    """A new plan with the given fields, and with the limits that plug-ins declare."""
    with all_tenants():
        plan = Plan()
        created = assign(plan, values)
        plan.save(force_insert=True)
        set_limits = _write_limits(plan, limits or {})
        record_audit(action="plan.created", target=plan, after={**created.after, **set_limits.after})
    return plan


def update_plan(
    *, plan: Plan, changes: Mapping[str, Any], limits: Mapping[str, int] | None = None, reason: str = ""
) -> Plan:
    """Change fields of a plan, and if `limits` is given replace its limits by them."""
    with all_tenants():
        locked = Plan.objects.select_for_update().filter(pk=plan.pk).first()
        if locked is None:
            raise PlanNotFoundError
        difference = assign(locked, changes)
        if difference:
            locked.save(update_fields=list(difference.after))
        if limits is not None:
            of_limits = _write_limits(locked, limits)
            difference = Difference({**difference.before, **of_limits.before}, {**difference.after, **of_limits.after})
        if difference:
            record_audit(
                action="plan.updated", target=locked, before=difference.before, after=difference.after, reason=reason
            )
            _announce(locked)
    return locked


def _write_limits(plan: Plan, limits: Mapping[str, int]) -> Difference:
    """Make the plan's limits equal `limits`, in three set statements."""
    existing = dict(PlanLimit.objects.filter(plan=plan).values_list("key", "value"))
    changed = {key: value for key, value in limits.items() if existing.get(key) != value}
    removed = [key for key in existing if key not in limits]
    PlanLimit.objects.filter(plan=plan, key__in=removed).delete()
    PlanLimit.objects.bulk_create(
        [PlanLimit(plan=plan, key=key, value=value) for key, value in changed.items()],
        update_conflicts=True,
        unique_fields=["plan", "key"],
        update_fields=["value"],
    )
    before = {key: existing.get(key) for key in [*changed, *removed]}
    return Difference(before, {**changed, **dict.fromkeys(removed)})


def _announce(plan: Plan) -> None:
    tenant_ids = list(Tenant.objects.filter(plan=plan).values_list("pk", flat=True))
    if tenant_ids:
        tenant_scheduling_changed.send(sender=Plan, tenant_ids=tenant_ids)
