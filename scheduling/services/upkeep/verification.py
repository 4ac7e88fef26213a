"""Verification as steps of upkeep: what is found makes the run fail, and nothing is repaired."""

from __future__ import annotations

from scheduling.services.counters import verify_counters
from scheduling.services.ledger import verify_ledger
from scheduling.services.rollups import FOLD_ROWS, fold_tallies, verify_recent_rollups
from scheduling.services.upkeep.registry import Budget, Step


def check_ledger(budget: Budget) -> Step:
    """Charges against measured and predicted time, of every tenant."""
    del budget
    report = verify_ledger()
    findings = [
        f"The ledger of tenant {balance.tenant_id} is off by {balance.difference_us:,} µs."
        for balance in report.unbalanced
    ]
    return Step({"tenants": len(report.balances)}, findings=findings)


def check_counters(budget: Budget) -> Step:
    """What waits and what is in flight, against a recount."""
    del budget
    return Step(findings=[str(difference) for difference in verify_counters()])


def check_rollups(budget: Budget) -> Step:
    """The rollups of the last whole hours, against a recount of history."""
    del budget
    return Step(findings=[str(difference) for difference in verify_recent_rollups()])


def fold_rollups(budget: Budget) -> Step:
    """Count what no dispatcher has counted: after an outage of them, or a flood."""
    del budget
    folded = fold_tallies()
    return Step({"executions": folded}, has_more=folded >= FOLD_ROWS)
