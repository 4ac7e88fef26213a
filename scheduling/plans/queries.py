"""Queries of CFS plans."""

from __future__ import annotations

from django.db.models import QuerySet

from scheduling.exceptions import CFSPlanNotFoundError
from scheduling.models import BulkOperation, CFSPlan, CFSPlanTier
from tenants.context import all_tenants


def find_cfs_plans() -> QuerySet[CFSPlan]:
    """Return a queryset of all CFS plans with their tier rows."""
    return CFSPlan.objects.prefetch_related("tiers__queue", "tiers__io_queue")


def get_cfs_plan(name: str) -> CFSPlan:
    """Return the CFS plan with this name; raise CFSPlanNotFoundError if there is none."""
    plan = find_cfs_plans().filter(name=name).first()
    if plan is None:
        raise CFSPlanNotFoundError("There is no CFS plan %(name)r.", {"name": name})
    return plan


def read_plan_weights() -> dict[int, tuple[int, str]]:
    """Return the weight and the plan's name for each queue, by id, whose weight the active CFS plan overrides."""
    tiers = CFSPlanTier.objects.filter(plan__is_active=True).order_by("weight")
    found: dict[int, tuple[int, str]] = {}
    # The greatest weight is last.
    for queue_id, io_queue_id, weight, plan in tiers.values_list("queue_id", "io_queue_id", "weight", "plan__name"):
        found |= dict.fromkeys((queue_id, io_queue_id or queue_id), (weight, plan))
    return found


def open_reroute() -> BulkOperation | None:
    """Return the unfinished reroute of waiting jobs, or None."""
    with all_tenants():
        rows = BulkOperation.objects.filter(operation=BulkOperation.Operation.REROUTE, finished_at__isnull=True)
        return rows.order_by("-id").first()
