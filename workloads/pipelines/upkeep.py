"""Upkeep of pipelines: it closes runs whose jobs ended without running their code, and deletes old runs."""

from __future__ import annotations

from datetime import timedelta

from django.db.models.functions import Now
from django.utils.translation import gettext_noop
from psycopg.rows import scalar_row

from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep, UpkeepTask
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import execute, fetch_all, fetch_one
from tenants.database.sql import load_sql
from tenants.holds.service import without_held
from workloads.pipelines.ending import end_runs
from workloads.pipelines.models import OPEN_RUNS, PipelineRun

MINUTE, DAILY = timedelta(minutes=1), timedelta(days=1)
# Runs closed in one step; each may have a thousand entities.
RUNS_PER_STEP = 100
_SQL = load_sql(__file__)
_CLOSE_ENTITIES, _LAST_OPEN, _RUNS_WITHOUT_OPEN = _SQL["close_entities"], _SQL["find_last_open"], _SQL["find_runs"]
_BEFORE_ALL = "00000000-0000-0000-0000-000000000000"


def close_runs(budget: UpkeepBudget) -> UpkeepStep:
    """Close entities whose jobs have ended, one batch per step, and then the runs that have no open entity left."""
    if "entity" in budget.cursor or not budget.cursor:
        return _close_entities(str(budget.cursor.get("entity", _BEFORE_ALL)), budget.batch_rows)
    with all_tenants():
        runs = fetch_all(_RUNS_WITHOUT_OPEN, {"runs": RUNS_PER_STEP}, scalar_row, is_planned=True)
        ended = end_runs(runs) if runs else 0
    is_full = len(runs) == RUNS_PER_STEP and ended > 0
    return UpkeepStep({"runs_closed": ended}, has_more=is_full, cursor={"runs": True} if is_full else {})


def _close_entities(after: str, rows: int) -> UpkeepStep:
    with all_tenants():
        last = fetch_one(_LAST_OPEN, {"after": after, "before_last": rows - 1}, scalar_row, is_planned=True)
        closed = execute(_CLOSE_ENTITIES, {"after": after, "rows": rows}, is_planned=True)
    cursor_after = {"entity": str(last)} if last else {"runs": True}
    return UpkeepStep({"entities_closed": closed}, has_more=True, cursor=cursor_after)


def prune_runs(budget: UpkeepBudget) -> UpkeepStep:
    """Delete runs, with their entities, PIPELINE_RUN_DAYS after their end; their documents stay."""
    with all_tenants():
        old = (
            without_held(PipelineRun.objects.all())
            .exclude(state__in=OPEN_RUNS)
            .filter(ended_at__lt=Now() - timedelta(days=platform_settings.PIPELINE_RUN_DAYS))
        )
        ids = list(old.order_by("ended_at").values_list("pk", flat=True)[:RUNS_PER_STEP])
        PipelineRun.objects.filter(pk__in=ids).delete()
    return UpkeepStep({"runs_removed": len(ids)}, has_more=len(ids) == RUNS_PER_STEP)


TASKS = (
    UpkeepTask(
        "pipeline_runs",
        gettext_noop("Pipeline runs"),
        gettext_noop("Closes runs and entities whose jobs were cancelled or failed, and releases their stored files."),
        MINUTE,
        close_runs,
    ),
    UpkeepTask(
        "pipeline_retention",
        gettext_noop("Old pipeline runs"),
        gettext_noop(
            "Deletes ended runs with their entities after PIPELINE_RUN_DAYS; the documents that they loaded stay."
        ),
        DAILY,
        prune_runs,
    ),
)
