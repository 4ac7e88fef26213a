"""Verification as steps of upkeep: what is found makes the run fail, and nothing is repaired."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import OperationalError
from django.utils import timezone
from psycopg.errors import QueryCanceled

from scheduling.services.consistency.registry import Piece, state_checks
from scheduling.services.consistency.verification import StateReport, look_twice
from scheduling.services.counters import verify_counters_page
from scheduling.services.ledger import TenantBalance, verify_ledger_page
from scheduling.services.retention.rules import Kept, least_cutoff
from scheduling.services.rollup_checks import RollupCheck, begin_recent_check
from scheduling.services.rollups import FOLD_ROWS, fold_tallies
from scheduling.services.upkeep.registry import Budget, Step
from scheduling.services.usage import UsageDifference, verify_usage_page
from tenants.chain_check import Finding
from tenants.context import all_tenants
from tenants.limits import month_of
from tenants.selectors.tenant_pages import BEFORE_ALL, TenantPage, read_page
from tenants.sentences import Sentence
from tenants.services.audit_requests import advance_next
from tenants.services.audit_verification import verify_chains

# A walk that was left longer ago begins anew: rollups by the minute are not kept for ever.
OLDEST_WALK = timedelta(days=1)
# How long one of several verifications is gone on with before the next one's turn, and its progress is told.
PART_SECONDS = 2.0


def step_page(budget: Budget, find: Callable[[TenantPage], Iterable[Sentence]]) -> Step:
    """Look at the page of tenants behind the cursor, in a transaction of its own.

    A page that takes longer than a statement may is told and passed over, so that it hides none of the others.
    """
    page = read_page(after=UUID(str(budget.cursor.get("after", BEFORE_ALL))))
    try:
        findings = list(find(page))
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        span = {"after": page.after, "until": page.until}
        findings = [
            Sentence("Nothing is proved of the tenants beyond %(after)s up to %(until)s: it took too long.", span)
        ]
    cursor = {} if page.is_last else {"after": str(page.until)}
    return Step({"tenants": page.tenants}, has_more=not page.is_last, cursor=cursor, findings=findings)


def check_ledger(budget: Budget) -> Step:
    """Charges against measured and predicted time, of every tenant."""
    return step_page(budget, lambda page: map(_tell_balance, verify_ledger_page(page).unbalanced))


def _tell_balance(balance: TenantBalance) -> Sentence:
    values = {"tenant": balance.tenant_id, "microseconds": f"{balance.difference_us:,}"}
    return Sentence("The ledger of tenant %(tenant)s is off by %(microseconds)s µs.", values)


def check_counters(budget: Budget) -> Step:
    """What waits and what is in flight, against a recount."""
    return step_page(budget, lambda page: [row.sentence for row in verify_counters_page(page)])


def check_state(budget: Budget) -> Step:
    """Jobs, their places, executions and history, a piece of one check in a step; what has a task of its own has it."""
    names = {check.name: check for check in state_checks() if not check.has_own_task}
    order = list(names)
    # A check that is not there any more, after an update, begins the walk anew.
    left = str(budget.cursor.get("check", ""))
    name, after = (left, budget.cursor.get("after", {})) if left in names else (order[0], {})
    look = look_twice(names[name], Piece(after))
    report = StateReport()
    report.add(look.faults, left=look.faults)
    findings = [finding.sentence for finding in report.findings.values()]
    if look.next is not None:
        return Step({"pieces": 1}, has_more=True, cursor={"check": name, "after": look.next}, findings=findings)
    following = order[order.index(name) + 1 :]
    return Step({"pieces": 1}, bool(following), {"check": following[0]} if following else {}, findings)


def check_rollups(budget: Budget) -> Step:
    """The rollups of the last whole hours, against a recount of history: tenant by tenant, then of them all."""
    check = RollupCheck.from_cursor(budget.cursor) if "since" in budget.cursor else None
    if check is None or check.until < timezone.now() - OLDEST_WALK:
        check, budget = begin_recent_check(), replace(budget, cursor={})
    if check is None:
        return Step()
    step = step_page(budget, lambda page: [row.sentence for row in check.check_page(page)])
    if step.has_more:
        return replace(step, cursor={**check.as_cursor(), **step.cursor})
    return replace(step, findings=[*step.findings, *(row.sentence for row in check.finish())])


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
    findings = [_tell_chain(finding) for finding in verified.findings]
    return Step(counts, has_more=not verified.is_complete, cursor=cursor, findings=findings)


def _tell_chain(finding: Finding) -> Sentence:
    values = {"chain": finding.chain, "kind": finding.kind, "detail": Sentence(finding.text, finding.values)}
    return Sentence("Chain %(chain)s: %(kind)s. %(detail)s", values)


def advance_verifications(budget: Budget) -> Step:
    """A part of whichever verification that somebody has asked for was looked at longest ago.

    What it finds is told to whoever asked, and logged; the run has not failed for it.
    """
    seen = advance_next(seconds=min(budget.seconds, PART_SECONDS))
    if seen is None:
        return Step()
    return Step({**seen.counts(), "verifications_finished": int(seen.is_complete)}, has_more=True)


def check_usage(budget: Budget) -> Step:
    """This month's counted worker time, against what executions measured, while all of them are kept."""
    with all_tenants():
        all_kept_since = least_cutoff(Kept.EXECUTIONS)
    if month_of(datetime.now(UTC)) <= all_kept_since.astimezone(UTC).date():
        return Step({"skipped": 1})
    return step_page(budget, lambda page: map(_tell_usage, verify_usage_page(page)))


def _tell_usage(row: UsageDifference) -> Sentence:
    values = {
        "tenant": row.tenant_id,
        "counted": f"{row.counted_us:,}",
        "month": row.subject,
        "measured": f"{row.measured_us:,}",
    }
    return Sentence("Tenant %(tenant)s is counted %(counted)s µs for %(month)s, measured %(measured)s.", values)
