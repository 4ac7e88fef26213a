"""Checks of sums of microseconds: charges of each tenant, its worker time of the month, charges of each execution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.consistency.registry import CheckPage, CheckRange, ConsistencyFault, FaultKind, RepairOrder, StateCheck
from scheduling.consistency.walk import check_page, page_of_one
from scheduling.dispatch.tick import stop_ticks
from scheduling.limits.declared import WORKER_SECONDS
from scheduling.models import WorkerPool
from scheduling.upkeep.retention.rules import RetentionClass, least_cutoff
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql
from tenants.limits.declared import month_of
from tenants.tenancy.queries import TenantPage
from tenants.translation import LocalizableText

LEDGER = FaultKind(
    "ledger",
    gettext_noop("A tenant's charges differ from the measured and predicted time of its executions at their rates."),
)
USAGE = FaultKind(
    "usage_counter",
    gettext_noop("A tenant's worker time of the month is not the measured time of its executions at their rates."),
    "Writes that time, while no dispatcher ticks.",
)
EXECUTION_CHARGE = FaultKind(
    "execution_charge", gettext_noop("The charges of an execution differ from its measured time at its rate.")
)
# Younger rows are never pruned.
YOUNG = timedelta(days=1)
MAX_CHARGES = 50
_SQL = load_sql(__file__)
_BALANCES, _DIFFERENCES, _CHARGES = _SQL["find_unbalanced"], _SQL["find_wrong_months"], _SQL["find_wrong_charges"]
_REPAIR = _SQL["write_months"]


def check_ledger(piece: CheckRange) -> CheckPage:
    """Compare each tenant's charges with its executions' time at their rates: measured, or predicted if in flight."""
    return check_page(piece, _find_unbalanced)


def check_usage(piece: CheckRange) -> CheckPage:
    """Compare the worker time of this month with its executions, and the charges of executions of the last day.

    Skip the check if some plan no longer keeps all executions of the month.
    """
    with all_tenants():
        all_kept_since = least_cutoff(RetentionClass.EXECUTIONS)
    if month_of(datetime.now(UTC)) <= all_kept_since.astimezone(UTC).date():
        return CheckPage(replace(piece, until={}), counts={"skipped": 1})
    return check_page(piece, find_usage)


def repair_usage(order: RepairOrder) -> None:
    """Write the charged worker time of the tenant's month, while ticks are blocked."""
    assert order.tenant_id is not None  # every counter has a tenant
    pools = list(WorkerPool.objects.order_by("pk").values_list("pk", flat=True))
    stop_ticks(pools)
    execute(_REPAIR, _parameters(page_of_one(order.tenant_id)), is_planned=True)


def find_usage(page: TenantPage) -> list[ConsistencyFault]:
    """Return faults for wrong months of these tenants and for executions with wrong charges."""
    parameters = _parameters(page)
    executions_since = read_clock() - YOUNG
    charges = {
        **parameters,
        "executions_since": uuid7_floor(executions_since),
        "charges_since": uuid7_floor(executions_since - YOUNG),
        "limit": MAX_CHARGES,
    }
    with all_tenants():
        months = fetch_all(_DIFFERENCES, parameters, is_planned=True)
        executions = fetch_all(_CHARGES, charges, is_planned=True)
    return [
        *(usage_fault(USAGE, row.tenant_id, f"{row.period:%Y-%m}", row.counted_us, row.due_us) for row in months),
        *(
            usage_fault(EXECUTION_CHARGE, row.tenant_id, f"execution {row.id}", row.counted_us, row.due_us)
            for row in executions
        ),
    ]


def usage_fault(kind: FaultKind, tenant_id: UUID, subject: str, counted_us: int, due_us: int) -> ConsistencyFault:
    """Return the fault for a month or an execution whose counted microseconds differ from those due."""
    values = {
        "tenant": tenant_id,
        "counted": f"{counted_us:,}",
        "month": subject,
        "due": f"{due_us:,}",
    }
    detail = LocalizableText("Tenant %(tenant)s has %(counted)s µs counted for %(month)s, but %(due)s are due.", values)
    return ConsistencyFault(kind.code, tenant_id, subject, detail)


def _find_unbalanced(page: TenantPage) -> Iterator[ConsistencyFault]:
    with all_tenants():
        rows = fetch_all(_BALANCES, page.parameters(), is_planned=True)
    for row in rows:
        values = {"tenant": row.tenant_id, "microseconds": f"{row.us:,}"}
        detail = LocalizableText("The ledger of tenant %(tenant)s is off by %(microseconds)s µs.", values)
        yield ConsistencyFault(LEDGER.code, row.tenant_id, "", detail)


def _parameters(page: TenantPage) -> dict[str, Any]:
    period: date = month_of(datetime.now(UTC))
    return {
        **page.parameters(),
        "key": WORKER_SECONDS.key,
        "period": period,
        "since": datetime.combine(period, time(), tzinfo=UTC),
    }


USAGE_CHECK = StateCheck(
    "usage",
    (USAGE, EXECUTION_CHARGE),
    check_usage,
    repair_usage,
    interval=timedelta(days=1),
    title=gettext_noop("Usage"),
    text=gettext_noop("Compares this month's counted worker time with what executions measured."),
)
LEDGER_CHECK = StateCheck(
    "ledger",
    (LEDGER,),
    check_ledger,
    interval=timedelta(hours=1),
    title=gettext_noop("Ledger"),
    text=gettext_noop("Compares every tenant's charges with measured and predicted time."),
)
