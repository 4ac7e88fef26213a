"""Reads of CFS plans."""

from __future__ import annotations

from django.db.models import QuerySet

from scheduling.exceptions import CFSPlanNotFoundError
from scheduling.models import BulkOperation, CFSPlan
from tenants.context import all_tenants


def find_cfs_plans() -> QuerySet[CFSPlan]:
    """All CFS plans with their tier rows."""
    return CFSPlan.objects.prefetch_related("tiers__queue")


def get_cfs_plan(name: str) -> CFSPlan:
    """The CFS plan of this name; `CFSPlanNotFoundError` for none."""
    plan = find_cfs_plans().filter(name=name).first()
    if plan is None:
        raise CFSPlanNotFoundError("There is no CFS plan %(name)r.", {"name": name})
    return plan


def open_reroute() -> BulkOperation | None:
    """Return the operation that moves what waits to other queues, if one is open."""
    with all_tenants():
        rows = BulkOperation.objects.filter(operation=BulkOperation.Operation.REROUTE, finished_at__isnull=True)
        return rows.order_by("-id").first()
