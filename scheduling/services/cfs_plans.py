"""Changing how the pool is shared: edits and activation of CFS plans, effective with the next tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F

from scheduling.exceptions import CFSPlanInvalidError
from scheduling.models import CFSPlan, CFSPlanTier, Queue
from scheduling.services.wakes import wake_on_commit
from tenants.context import all_tenants
from tenants.models import Tier
from tenants.services.audit import record_audit

EDITABLE_FIELDS = ("name", "strategy", "granularity_seconds", "reserved_slots")


@dataclass(frozen=True, slots=True)
class TierRow:
    """The queue and its weight that a plan gives a tier."""

    tier_id: str
    queue_id: int
    weight: int


def update_cfs_plan(*, plan: CFSPlan, fields: Mapping[str, Any], tiers: Sequence[TierRow], reason: str = "") -> CFSPlan:
    """Replace a plan's fields and tier rows in one transaction, audited with its difference.

    The dispatcher reads weights and strategy anew in every tick, so an active plan's change
    is in effect within one. Raises CFSPlanInvalidError.
    """
    unknown = set(fields) - set(EDITABLE_FIELDS)
    if unknown:
        raise CFSPlanInvalidError(f"These fields cannot be edited: {', '.join(sorted(unknown))}.")
    with all_tenants():
        plan = CFSPlan.objects.select_for_update().get(pk=plan.pk)
        _check_tiers(plan, tiers)
        before = describe_plan(plan)
        for name, value in fields.items():
            setattr(plan, name, value)
        plan.version += 1
        plan.full_clean()
        plan.save()
        plan.tiers.all().delete()
        CFSPlanTier.objects.bulk_create(
            CFSPlanTier(plan=plan, tier_id=row.tier_id, queue_id=row.queue_id, weight=row.weight) for row in tiers
        )
        record_audit(action="cfs_plan.changed", target=plan, before=before, after=describe_plan(plan), reason=reason)
        wake_on_commit()
    return plan


def create_cfs_plan(*, fields: Mapping[str, Any], tiers: Sequence[TierRow], reason: str = "") -> CFSPlan:
    """A new plan, not active yet. Raises CFSPlanInvalidError."""
    with all_tenants():
        plan = CFSPlan(**dict(fields))
        _check_tiers(plan, tiers)
        plan.full_clean()
        plan.save()
        CFSPlanTier.objects.bulk_create(
            CFSPlanTier(plan=plan, tier_id=row.tier_id, queue_id=row.queue_id, weight=row.weight) for row in tiers
        )
        record_audit(action="cfs_plan.created", target=plan, after=describe_plan(plan), reason=reason)
    return plan


def activate_cfs_plan(*, plan: CFSPlan, reason: str = "") -> CFSPlan:
    """Make ``plan`` the active one. Raises CFSPlanInvalidError when a tier has no queue in it.

    Jobs that wait already stay in the queue they were routed to.
    """
    with all_tenants():
        plans = {row.pk: row for row in CFSPlan.objects.select_for_update().order_by("pk")}
        target = plans[plan.pk]
        missing = Tier.objects.exclude(pk__in=target.tiers.values("tier")).values_list("slug", flat=True)
        if missing:
            raise CFSPlanInvalidError(f"The plan names no queue for: {', '.join(missing)}.")
        previous = next((row.name for row in plans.values() if row.is_active), None)
        CFSPlan.objects.filter(is_active=True).update(is_active=False)
        CFSPlan.objects.filter(pk=target.pk).update(is_active=True, version=F("version") + 1)
        record_audit(
            action="cfs_plan.activated",
            target=target,
            before={"active": previous},
            after={"active": target.name},
            reason=reason,
        )
        wake_on_commit()
        target.refresh_from_db()
    return target


def describe_plan(plan: CFSPlan) -> dict[str, Any]:
    """A plan as audit and interfaces show it."""
    return {
        **{name: getattr(plan, name) for name in EDITABLE_FIELDS},
        "version": plan.version,
        "tiers": {
            row.tier_id: {"queue": row.queue.name, "weight": row.weight} for row in plan.tiers.select_related("queue")
        },
    }


def _check_tiers(plan: CFSPlan, tiers: Sequence[TierRow]) -> None:
    named = [row.tier_id for row in tiers]
    if len(set(named)) != len(named):
        raise CFSPlanInvalidError("A tier appears more than once.")
    missing = set(Tier.objects.values_list("slug", flat=True)) - set(named)
    if plan.is_active and missing:
        raise CFSPlanInvalidError(f"An active plan needs a queue for: {', '.join(sorted(missing))}.")
    unknown = {row.queue_id for row in tiers} - set(Queue.objects.values_list("pk", flat=True))
    if unknown:
        raise CFSPlanInvalidError("A tier row names a queue that does not exist.")
    if any(row.weight < 1 for row in tiers):
        raise CFSPlanInvalidError("Weights are 1 or more.")
