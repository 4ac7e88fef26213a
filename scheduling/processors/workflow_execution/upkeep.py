"""Upkeep of workflows: what runs leave behind whose jobs have ended without them."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.utils.translation import gettext_noop

from scheduling.services.upkeep.registry import Budget, Step, UpkeepTask
from tenants.context import all_tenants

# A job that was cancelled, or died, runs no code of ours. By name, for a plug-in imports no models of the scheduler.
_WITHDRAW = """
UPDATE workflow_execution_approval a SET state = 'withdrawn', decided_at = now()
WHERE a.id IN (
    SELECT p.id FROM workflow_execution_approval p LEFT JOIN scheduling_job j ON j.id = p.job_id
    WHERE p.state = 'pending' AND (j.id IS NULL OR j.finished_at IS NOT NULL) ORDER BY p.id LIMIT %(rows)s
)
"""
_FORGET = """
DELETE FROM workflow_execution_runvalue v
WHERE v.id IN (
    SELECT o.id FROM workflow_execution_runvalue o LEFT JOIN scheduling_job j ON j.id = o.job_id
    WHERE j.id IS NULL OR j.finished_at IS NOT NULL ORDER BY o.id LIMIT %(rows)s
)
"""


def sweep_ended_runs(budget: Budget) -> Step:
    """Withdraw questions that nobody waits for, and forget values that nobody reads."""
    with all_tenants(), connection.cursor() as cursor:
        counts = {}
        for name, statement in (("approvals_withdrawn", _WITHDRAW), ("values_removed", _FORGET)):
            cursor.execute(statement, {"rows": budget.batch_rows})
            counts[name] = cursor.rowcount
    return Step(counts, has_more=budget.batch_rows in counts.values())


TASKS = (
    UpkeepTask(
        "ended_workflow_runs",
        gettext_noop("Ended workflow runs"),
        gettext_noop("Withdraws approvals and removes values of runs whose jobs have ended by themselves."),
        timedelta(minutes=15),
        sweep_ended_runs,
    ),
)
