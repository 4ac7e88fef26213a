"""Queries of CFS plans."""

from __future__ import annotations

from django.db.models import QuerySet

from scheduling.exceptions import CFSPlanNotFoundError
from scheduling.models import BulkOperation, CFSPlan
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


def open_reroute() -> BulkOperation | None:
    """Return the unfinished reroute of waiting jobs, or None."""
    with all_tenants():
        rows = BulkOperation.objects.filter(operation=BulkOperation.Operation.REROUTE, finished_at__isnull=True)
        return rows.order_by("-id").first()
