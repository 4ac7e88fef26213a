"""The proofs that upkeep runs by itself, as checks of the state: counters, usage, rollups, ledger, audit chains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from scheduling.services.consistency.counting import recount
from scheduling.services.consistency.pieces import look_at_page, page_of_one
from scheduling.services.consistency.registry import Fault, FaultKind, Look, Piece, RepairOrder, StateCheck
from scheduling.services.counters import verify_counters_page
from scheduling.services.ledger import verify_ledger_page
from scheduling.services.retention.rules import Kept, least_cutoff
from scheduling.services.rollup_checks import RollupCheck, begin_recent_check
from scheduling.services.usage import verify_usage_page
from tenants.chain import PLATFORM_CHAIN
from tenants.context import all_tenants
from tenants.limits import month_of
from tenants.models import Tenant
from tenants.selectors.tenant_pages import TenantPage
from tenants.services.audit_verification import verify_chains

_RECOUNT = "Writes what is recounted, while no dispatcher ticks, and has the next tick look at the tenant anew."
COUNTERS = {
    "waiting jobs": FaultKind("waiting_counter", "A line counts other than its waiting jobs.", _RECOUNT),
    "in flight by queue": FaultKind(
        "in_flight_counter", "A line of a queue counts other than what it has in flight.", _RECOUNT
    ),
    "waiting jobs of the keys": FaultKind(
        "keys_waiting_counter", "A tenant's line sums other than the waiting jobs of its keys.", _RECOUNT
    ),
    "in flight of the keys": FaultKind(
        "keys_in_flight_counter", "A tenant's line sums other than what its keys have in flight.", _RECOUNT
    ),
    "in flight by tenant": FaultKind(
        "capacity_counter", "A tenant's capacity counts other than what it has in flight.", _RECOUNT
    ),
    "capacities": FaultKind(
        "capacity_missing", "A tenant has lines and no capacity, so nothing of it starts.", _RECOUNT
    ),
}
USAGE = FaultKind(
    "usage_counter",
    "A tenant's worker time of the month is not what its executions measured.",
    "Writes the measured time, while no dispatcher ticks.",
)
EXECUTION_CHARGE = FaultKind("execution_charge", "The charges of an execution are not what was measured of it.")
LEDGER = FaultKind("ledger", "A tenant's charges are not what its executions measured and are predicted to take.")
ROLLUPS = FaultKind("rollups", "A rollup of the last whole hours is not what history says.")
AUDIT = FaultKind("audit_chain", "A chain of the audit log was edited, cut, reordered or re-hashed.")


def look_at_counters(piece: Piece) -> Look:
    """What waits and what is in flight, against a recount."""

    def find(page: TenantPage) -> Iterable[Fault]:
        for row in verify_counters_page(page):
            # Places without jobs have a check of their own.
            if row.counter in COUNTERS:
                yield Fault(COUNTERS[row.counter].code, row.tenant_id, row.row, str(row))

    return look_at_page(piece, find)


def repair_counters(order: RepairOrder) -> None:
    """Recount all of the tenant's counters at once."""
    assert order.tenant_id is not None  # every counter has one
    recount(order.tenant_id)


def look_at_usage(piece: Piece) -> Look:
    """This month's worker time, while all of its executions are kept."""
    with all_tenants():
        all_kept_since = least_cutoff(Kept.EXECUTIONS)
    if month_of(datetime.now(UTC)) <= all_kept_since.astimezone(UTC).date():
        return Look(replace(piece, until={}))

    def find(page: TenantPage) -> Iterable[Fault]:
        for row in verify_usage_page(page):
            detail = f"counted {row.counted_us:,} µs, measured {row.measured_us:,} µs"
            kind = USAGE if row.execution_id is None else EXECUTION_CHARGE
            yield Fault(kind.code, row.tenant_id, row.subject, detail)

    return look_at_page(piece, find)


def repair_usage(order: RepairOrder) -> None:
    """Write what was measured."""
    assert order.tenant_id is not None  # every counter has one
    verify_usage_page(page_of_one(order.tenant_id), repair=True, reason=order.reason)


def look_at_ledger(piece: Piece) -> Look:
    """Charges against measured and predicted time."""

    def find(page: TenantPage) -> Iterable[Fault]:
        for row in verify_ledger_page(page).unbalanced:
            yield Fault(LEDGER.code, row.tenant_id, "", f"off by {row.difference_us:,} µs")

    return look_at_page(piece, find)


def look_at_rollups(piece: Piece) -> Look:
    """The last whole hours of the rollups, page by page of tenants, and behind the last what is of them all."""
    check = RollupCheck.from_cursor(piece.after["check"]) if piece.after else begin_recent_check()
    if check is None:
        return Look(piece)
    pages = replace(piece, after=piece.after.get("page", {}))
    look = look_at_page(pages, lambda page: [_tell_rollup(row) for row in check.check_page(page)])
    if look.next is not None:
        return Look(piece, look.faults, {"check": check.as_cursor(), "page": look.next})
    return Look(piece, [*look.faults, *map(_tell_rollup, check.finish())])


def look_at_audit(piece: Piece) -> Look:
    """A chain of the audit log, or a part of a long one."""
    tenant = None
    if piece.tenant_id is not None:
        with all_tenants():
            tenant = Tenant.objects.get(pk=piece.tenant_id)
    # A deadline that has passed: one batch a look.
    verified = verify_chains(tenant=tenant, deadline=0.0, after=piece.after.get("chain"))
    faults = [
        Fault(AUDIT.code, _tenant_of(finding.chain), str(finding.entry_id or ""), f"{finding.kind}: {finding.detail}")
        for finding in verified.findings
    ]
    return Look(piece, faults, None if verified.next is None else {"chain": verified.next})


def _tell_rollup(row: object) -> Fault:
    return Fault(ROLLUPS.code, None, str(row))


def _tenant_of(chain: object) -> UUID | None:
    tenant_id = UUID(str(chain))
    return None if tenant_id == PLATFORM_CHAIN else tenant_id


# Counters come after everything whose repair moves what they count.
CHECKS = (
    StateCheck("counters", tuple(COUNTERS.values()), look_at_counters, repair_counters, has_own_task=True),
    StateCheck("usage", (USAGE, EXECUTION_CHARGE), look_at_usage, repair_usage, has_own_task=True),
    StateCheck("rollups", (ROLLUPS,), look_at_rollups, has_own_task=True, knows_tenants=False),
    StateCheck("ledger", (LEDGER,), look_at_ledger, has_own_task=True),
    StateCheck("audit", (AUDIT,), look_at_audit, has_own_task=True),
)
