"""Upkeep of webhooks: delivery attempts are kept for thirty days."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext_noop

from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep, UpkeepTask
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.holds.service import without_held
from workloads.webhooks.models import Delivery

KEPT = timedelta(days=30)


def prune_deliveries(budget: UpkeepBudget) -> UpkeepStep:
    """Delete the oldest delivery attempts that are more than thirty days old, one batch per step."""
    with all_tenants():
        old = without_held(Delivery.objects.all()).filter(pk__lt=uuid7_floor(read_clock() - KEPT)).order_by("pk")
        ids = list(old.values_list("pk", flat=True)[: budget.batch_rows])
        Delivery.objects.filter(pk__in=ids).delete()
    return UpkeepStep({"deliveries": len(ids)}, has_more=len(ids) == budget.batch_rows)


TASKS = (
    UpkeepTask(
        "prune_deliveries",
        gettext_noop("Webhook deliveries"),
        gettext_noop("Deletes delivery attempts that are older than thirty days."),
        timedelta(days=1),
        prune_deliveries,
    ),
)
