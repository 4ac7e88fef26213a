"""Queries for plans."""

from __future__ import annotations

from django.db.models import QuerySet

from tenants.exceptions import PlanNotFoundError
from tenants.models import Plan


def find_plans() -> QuerySet[Plan]:
    """Return a queryset of all plans that prefetches their limits."""
    return Plan.objects.prefetch_related("limits")


def get_plan(slug: str) -> Plan:
    """Return the plan with that slug; raise `PlanNotFoundError` if there is none."""
    plan = find_plans().filter(slug=slug).first()
    if plan is None:
        raise PlanNotFoundError("There is no plan %(slug)r.", {"slug": slug})
    return plan
