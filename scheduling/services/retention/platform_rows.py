"""Removing what is no tenant's: workers that stopped, log-in sessions that ended, old runs of upkeep."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.sessions.models import Session
from django.db.models import Model, QuerySet
from django.db.models.functions import Now

from scheduling.models import UpkeepRun, Worker
from tenants.context import all_tenants

STOPPED_WORKERS = timedelta(days=7)
UPKEEP_RUNS = timedelta(days=14)


def prune_platform_rows(*, limit: int) -> dict[str, int]:
    """Delete what is old enough, at most ``limit`` of each; how many of each."""
    with all_tenants():
        workers = Worker.objects.filter(status=Worker.Status.STOPPED, stopped_at__lt=Now() - STOPPED_WORKERS)
        runs = UpkeepRun.objects.filter(finished_at__lt=Now() - UPKEEP_RUNS)
        return {
            "sessions": _delete(Session.objects.filter(expire_date__lt=Now()), limit),
            "workers": _delete(workers, limit),
            "upkeep_runs": _delete(runs, limit),
        }


def _delete[RowT: Model](rows: QuerySet[RowT], limit: int) -> int:
    keys = list(rows.order_by("pk").values_list("pk", flat=True)[:limit])
    return rows.model._default_manager.filter(pk__in=keys).delete()[0] if keys else 0
