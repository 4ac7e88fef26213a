"""Upkeep tasks that run the consistency checks: each step checks one range of rows and repairs nothing.

A run with a finding has failed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.utils.translation import gettext_noop

from scheduling.consistency.registry import NEVER, STATE, CheckRange, find_checks, state_checks
from scheduling.consistency.verification import MAX_EXAMPLES, StateReport
from scheduling.consistency.walk import check_twice
from scheduling.upkeep.registry import VERIFICATION_SHARE, UpkeepBudget, UpkeepStep, UpkeepTask

_STATE_TASK = UpkeepTask(
    "verify_state",
    gettext_noop("State"),
    gettext_noop(
        "Looks for jobs without a queue entry or with two, orphaned rows, impossible states and impossible histories."
    ),
    timedelta(days=1),
    lambda budget: check_next_page(STATE, budget),
    share=VERIFICATION_SHARE,
)


def check_tasks() -> list[UpkeepTask]:
    """Return a task for each check that has an interval, and one task for all checks without an interval."""
    own = [
        UpkeepTask(
            f"verify_{check.name}",
            check.title,
            check.text,
            check.interval,
            _step_of(check.name),
            share=VERIFICATION_SHARE,
            tenant_permission=check.tenant_permission,
        )
        for check in state_checks()
        if check.interval is not None and check.interval != NEVER
    ]
    return [*own, _STATE_TASK]


def check_next_page(name: str, budget: UpkeepBudget) -> UpkeepStep:
    """Check the next range of rows after the cursor, with the check of this name or the next check of its group."""
    checks = {check.name: check for check in find_checks([name])}
    order = list(checks)
    # The cursor may name a check of a removed app; the walk then begins again.
    left = str(budget.cursor.get("check", ""))
    current, after = (left, budget.cursor.get("after", {})) if left in checks else (order[0], {})
    look = check_twice(checks[current], CheckRange(after, tenant_id=budget.tenant_id))
    report = StateReport()
    report.add(look.faults, left=look.faults)
    # A tenant reads every example, the platform's page the first few.
    examples = 3 if budget.tenant_id is None else MAX_EXAMPLES
    findings = [finding.sentence_with(examples) for finding in report.findings.values()]
    counts = dict(look.counts) if len(checks) == 1 and look.counts else {"pieces": 1}
    if look.next is not None:
        return UpkeepStep(counts, has_more=True, cursor={"check": current, "after": look.next}, findings=findings)
    following = order[order.index(current) + 1 :]
    return UpkeepStep(counts, bool(following), {"check": following[0]} if following else {}, findings)


def _step_of(name: str) -> Callable[[UpkeepBudget], UpkeepStep]:
    return lambda budget: check_next_page(name, budget)
