"""Upkeep of pipelines: runs whose jobs ended without their code are closed, old ones go."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from scheduling.processors.rag_pipeline.conf import kept_for
from scheduling.processors.rag_pipeline.ending import end_runs
from scheduling.processors.rag_pipeline.models import OPEN_RUNS, PipelineRun
from scheduling.services.upkeep.registry import Budget, Step, UpkeepTask
from tenants.context import all_tenants

MINUTE, DAILY = timedelta(minutes=1), timedelta(days=1)
# Runs closed in one step; each may have a thousand entities.
RUNS_PER_STEP = 100
# A job that is not there was pruned, hence had ended. One that is young may not be seen yet.
_CLOSE_ENTITIES = """
    UPDATE rag_pipeline_pipelineentity AS entity SET
        state = CASE WHEN dead.state IN ('discarded', 'quarantined') THEN 'error' ELSE 'cancelled' END,
        error_code = left(coalesce(nullif(dead.error_type, ''), dead.state, 'job_gone'), 64),
        error_message = left(coalesce(dead.error_message, ''), 1000),
        ended_at = now()
    FROM (
        SELECT open.id, job.state, job.error_type, job.error_message
        FROM (
            SELECT id, tenant_id, job_id FROM rag_pipeline_pipelineentity
            WHERE state IN ('waiting', 'running') AND created_at < now() - interval '10 seconds' AND id > %(after)s
            ORDER BY id LIMIT %(rows)s
        ) AS open LEFT JOIN scheduling_job AS job ON job.id = open.job_id AND job.tenant_id = open.tenant_id
        WHERE job.id IS NULL OR job.state IN ('cancelled', 'discarded', 'quarantined', 'completed')
    ) AS dead
    WHERE entity.id = dead.id AND entity.state IN ('waiting', 'running')
"""
_LAST_OPEN = """
    SELECT id FROM rag_pipeline_pipelineentity WHERE state IN ('waiting', 'running') AND id > %(after)s
    ORDER BY id OFFSET %(before_last)s LIMIT 1
"""
_RUNS_WITHOUT_OPEN = """
    SELECT run.id FROM rag_pipeline_pipelinerun AS run
    WHERE run.state IN ('waiting', 'running') AND run.created_at < now() - interval '10 seconds' AND NOT EXISTS (
        SELECT FROM rag_pipeline_pipelineentity AS entity
        WHERE entity.tenant_id = run.tenant_id AND entity.run_id = run.id AND entity.state IN ('waiting', 'running')
    ) ORDER BY run.id LIMIT %(runs)s
"""
_BEFORE_ALL = "00000000-0000-0000-0000-000000000000"


def close_runs(budget: Budget) -> Step:
    """First entities whose jobs have ended, some a step; then the runs that have no open one left."""
    if "entity" in budget.cursor or not budget.cursor:
        return _close_entities(str(budget.cursor.get("entity", _BEFORE_ALL)), budget.batch_rows)
    with all_tenants():
        with connection.cursor() as cursor:
            cursor.execute(_RUNS_WITHOUT_OPEN, {"runs": RUNS_PER_STEP})
            runs = [run_id for (run_id,) in cursor.fetchall()]
        ended = end_runs(runs) if runs else 0
    is_full = len(runs) == RUNS_PER_STEP and ended > 0
    return Step({"runs_closed": ended}, has_more=is_full, cursor={"runs": True} if is_full else {})


def _close_entities(after: str, rows: int) -> Step:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_LAST_OPEN, {"after": after, "before_last": rows - 1})
        last = cursor.fetchone()
        cursor.execute(_CLOSE_ENTITIES, {"after": after, "rows": rows})
        closed = cursor.rowcount
    cursor_after = {"entity": str(last[0])} if last else {"runs": True}
    return Step({"entities_closed": closed}, has_more=True, cursor=cursor_after)


def prune_runs(budget: Budget) -> Step:
    """Delete ended runs with their entities when their time is over; documents stay."""
    with all_tenants():
        old = PipelineRun.objects.exclude(state__in=OPEN_RUNS).filter(ended_at__lt=Now() - kept_for())
        ids = list(old.order_by("ended_at").values_list("pk", flat=True)[:RUNS_PER_STEP])
        PipelineRun.objects.filter(pk__in=ids).delete()
    return Step({"runs_removed": len(ids)}, has_more=len(ids) == RUNS_PER_STEP)


TASKS = (
    UpkeepTask(
        "pipeline_runs",
        gettext_noop("Pipeline runs"),
        gettext_noop(
            "Closes runs and entities whose jobs were cancelled or failed, and lets go of what they kept"
            " in the storage."
        ),
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
