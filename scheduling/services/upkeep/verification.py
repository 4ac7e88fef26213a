"""Verification as steps of upkeep: what is found makes the run fail, and nothing is repaired."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from scheduling.services.counters import verify_counters
from scheduling.services.ledger import verify_ledger
from scheduling.services.retention.rules import Kept, least_cutoff
from scheduling.services.rollups import FOLD_ROWS, fold_tallies, verify_recent_rollups
from scheduling.services.upkeep.registry import Budget, Step
from scheduling.services.usage import verify_usage
from tenants.context import all_tenants
from tenants.limits import month_of
from tenants.services.audit_heads import sign_heads
from tenants.services.audit_verification import verify_chains


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


def check_audit(budget: Budget) -> Step:
    """Every chain of the audit log, against its entries and the signed heads; goes on where it was cut off."""
    verified = verify_chains(deadline=time.monotonic() + budget.seconds, after=budget.cursor.get("after"))
    counts = {name: count for name, count in verified.counts().items() if name != "findings"}
    cursor = {} if verified.next is None else {"after": verified.next}
    findings = [f"Chain {finding.chain}: {finding.kind}. {finding.detail}" for finding in verified.findings]
    return Step(counts, has_more=not verified.is_complete, cursor=cursor, findings=findings)


def sign_audit_heads(budget: Budget) -> Step:
    """The heads of all chains that have grown, so that nothing before them can be cut off or hashed anew unseen."""
    return Step(sign_heads(deadline=time.monotonic() + budget.seconds))


def check_usage(budget: Budget) -> Step:
    """This month's counted worker time, against what executions measured, while all of them are kept."""
    del budget
    with all_tenants():
        all_kept_since = least_cutoff(Kept.EXECUTIONS)
    if month_of(datetime.now(UTC)) <= all_kept_since.astimezone(UTC).date():
        return Step({"skipped": 1})
    findings = [
        f"Tenant {row.tenant_id} is counted {row.counted_us:,} µs for {row.period:%Y-%m}, measured {row.measured_us:,}."
        for row in verify_usage()
    ]
    return Step(findings=findings)
