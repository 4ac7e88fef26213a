"""Upkeep of workflows: it removes what is left of runs whose jobs have ended without running their code."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext_noop

from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep, UpkeepTask
from tenants.context import all_tenants
from tenants.database.prepared import execute
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_WITHDRAW, _FORGET = _SQL["withdraw_approvals"], _SQL["delete_values"]


def sweep_ended_runs(budget: UpkeepBudget) -> UpkeepStep:
    """Withdraw pending approvals and delete stored values of runs whose jobs have ended."""
    statements = {"approvals_withdrawn": _WITHDRAW, "values_removed": _FORGET}
    with all_tenants():
        counts = {
            name: execute(statement, {"rows": budget.batch_rows}, is_planned=True)
            for name, statement in statements.items()
        }
    return UpkeepStep(counts, has_more=budget.batch_rows in counts.values())


TASKS = (
    UpkeepTask(
        "ended_workflow_runs",
        gettext_noop("Ended workflow runs"),
        gettext_noop("Withdraws pending approvals and deletes stored values of runs whose jobs have ended."),
        timedelta(minutes=15),
        sweep_ended_runs,
    ),
)
