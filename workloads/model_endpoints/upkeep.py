"""Upkeep of model endpoints: usage is kept for two years."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils.translation import gettext_noop

from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep, UpkeepTask
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.holds.service import without_held
from workloads.model_endpoints.models import UsageDay

KEPT: Final = timedelta(days=731)


def prune_model_usage(budget: UpkeepBudget) -> UpkeepStep:
    """Delete the oldest days of usage that are more than two years old, one batch per step."""
    with all_tenants():
        old = without_held(UsageDay.objects.filter(day__lt=read_clock().date() - KEPT)).order_by("pk")
        ids = list(old.values_list("pk", flat=True)[: budget.batch_rows])
        UsageDay.objects.filter(pk__in=ids).delete()
    return UpkeepStep({"usage_days": len(ids)}, has_more=len(ids) == budget.batch_rows)


TASKS = (
    UpkeepTask(
        "prune_model_usage",
        gettext_noop("Usage of models"),
        gettext_noop("Deletes days of model usage that are older than two years."),
        timedelta(days=1),
        prune_model_usage,
    ),
)
