"""Reads of plans and of the versions of any kind of plan."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from tenants.exceptions import PlanNotFoundError
from tenants.models import Plan, VersionFacts


def find_plans() -> QuerySet[Plan]:
    """All plans with their limits."""
    return Plan.objects.prefetch_related("limits")


def get_plan(slug: str) -> Plan:
    """The plan of this slug; `PlanNotFoundError` for none."""
    plan = find_plans().filter(slug=slug).first()
    if plan is None:
        raise PlanNotFoundError("There is no plan %(slug)r.", {"slug": slug})
    return plan


def versions_of(plan: Any) -> QuerySet[VersionFacts]:
    """The versions of a plan, newest first."""
    versions: QuerySet[VersionFacts] = plan.versions.order_by("-number")
    return versions


def waiting_versions(plan: Any) -> QuerySet[VersionFacts]:
    """The versions that wait for their time, the next one first."""
    waiting = versions_of(plan).filter(outcome=VersionFacts.Outcome.WAITING)
    return waiting.order_by("effective_from", "number")
