"""Upkeep task of backups."""

from __future__ import annotations

from scheduling.backups.plans import find_due_plans, run_plan
from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep
from tenants.translation import LocalizableText


def back_up(budget: UpkeepBudget) -> UpkeepStep:
    """Make the next backup that is due."""
    del budget
    due = find_due_plans()
    if not due:
        return UpkeepStep({"backups": 0})
    made = run_plan(due[0])
    text = LocalizableText("Backup plan %(plan)s: %(error)s", {"plan": due[0].name, "error": made.error})
    return UpkeepStep({"backups": int(not made.error)}, has_more=len(due) > 1, findings=[text] if made.error else [])
