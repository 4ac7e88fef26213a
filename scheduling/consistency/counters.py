"""Checks of the dispatcher's counters against a recount, and their repair."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.consistency.registry import CheckPage, CheckRange, ConsistencyFault, FaultKind, RepairOrder, StateCheck
from scheduling.consistency.walk import check_page
from scheduling.dispatch.tick import stop_ticks
from scheduling.dispatch.wakes import wake_tenants
from scheduling.models import WorkerPool
from tenants.context import all_tenants
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql
from tenants.tenancy.queries import TenantPage
from tenants.translation import LocalizableText

MAX_DIFFERENCES = 50
_RECOUNT = "Writes the recounted number while no dispatcher ticks; the next tick reads the tenant again."
KINDS: Mapping[str, FaultKind] = {
    gettext_noop("waiting jobs"): FaultKind(
        "waiting_counter",
        gettext_noop("A counter of a tenant's or a fair key's waiting jobs in a queue differs from a recount."),
        _RECOUNT,
    ),
    gettext_noop("in flight by queue"): FaultKind(
        "in_flight_counter",
        gettext_noop("A counter of a tenant's or a fair key's messages in flight in a queue differs from a recount."),
        _RECOUNT,
    ),
    gettext_noop("waiting jobs of the keys"): FaultKind(
        "keys_waiting_counter",
        gettext_noop("A tenant's sum of the waiting jobs of its fair keys differs from a recount."),
        _RECOUNT,
    ),
    gettext_noop("in flight of the keys"): FaultKind(
        "keys_in_flight_counter",
        gettext_noop("A tenant's sum of the messages in flight of its fair keys differs from a recount."),
        _RECOUNT,
    ),
    gettext_noop("in flight by tenant"): FaultKind(
        "capacity_counter",
        gettext_noop("A tenant's counter of messages in flight over all pools differs from a recount."),
        _RECOUNT,
    ),
    gettext_noop("in flight by concurrency key"): FaultKind(
        "concurrency_key_counter",
        gettext_noop("A counter of the jobs in flight of a concurrency key differs from a recount."),
        _RECOUNT,
    ),
    gettext_noop("stranded jobs"): FaultKind(
        "concurrency_key_stranded",
        gettext_noop("Jobs wait for a concurrency key of which no job runs or is about to run."),
        "Lets the next tick admit them.",
    ),
    gettext_noop("capacities"): FaultKind(
        "capacity_missing",
        gettext_noop(
            "A tenant has rows in queues, but no row that counts its messages in flight, so none of its jobs starts."
        ),
        _RECOUNT,
    ),
}
# The row that a statement names by a noun and an id.
ROW_WORDS = {"entity": gettext_noop("entity %(id)s"), "tenant": gettext_noop("tenant %(id)s")}
ROW_WORDS["concurrency_key"] = gettext_noop("concurrency key %(id)s")
_SQL = load_sql(__file__)
# Each statement is one snapshot of a page of tenants, including the wakes that no tick has folded yet: a message is in
# flight until a tick has read that its last execution ended. Waiting jobs are counted in the small tables of places, so
# that ended jobs cost nothing.
_RECOUNTS = {
    "waiting jobs": _SQL["find_waiting"],
    "in flight by queue": _SQL["find_in_flight"],
    "waiting jobs of the keys": _SQL["find_keys_waiting"],
    "in flight of the keys": _SQL["find_keys_in_flight"],
    "in flight by tenant": _SQL["find_capacity"],
    "in flight by concurrency key": _SQL["find_concurrency_keys"],
    "stranded jobs": _SQL["find_stranded"],
    "capacities": _SQL["find_missing_capacity"],
}
# Ends of executions change no recount, so the statements need no common snapshot.
_KEY_WRITES = ("delete_concurrency_keys", "write_concurrency_keys", "admit_again")
_WRITES = [_SQL[name] for name in ("write_lines", "write_keys", "write_capacity", *_KEY_WRITES)]


def check_counters(piece: CheckRange) -> CheckPage:
    """Recount waiting jobs and messages in flight; return at most MAX_DIFFERENCES faults for each counter and page."""
    return check_page(piece, _find_differences)


def repair_counters(order: RepairOrder) -> None:
    """Rewrite all counters of the tenant from a recount, and let a tick read the tenant again.

    Only ticks write these counters, so ticks are blocked until this transaction commits.
    """
    assert order.tenant_id is not None  # every counter has a tenant
    pools = list(WorkerPool.objects.order_by("pk").values_list("pk", flat=True))
    stop_ticks(pools)
    for statement in _WRITES:
        execute(statement, {"tenant_id": order.tenant_id}, is_planned=True)
    wake_tenants(tenant_ids=[order.tenant_id])


def fault_of(counter: str, tenant_id: UUID, row: str, counted: int, recounted: int) -> ConsistencyFault:
    """Return the fault for a wrong counter; ``row`` is a key of ROW_WORDS, a space and an id."""
    noun, _, row_id = row.partition(" ")
    values = {
        "counter": LocalizableText(counter),
        "row": LocalizableText(ROW_WORDS[noun], {"id": row_id}),
        "counted": counted,
        "recounted": recounted,
    }
    detail = LocalizableText("%(counter)s of %(row)s: %(counted)s, recounted %(recounted)s.", values)
    return ConsistencyFault(KINDS[counter].code, tenant_id, row, detail)


def _find_differences(page: TenantPage) -> list[ConsistencyFault]:
    faults: list[ConsistencyFault] = []
    with all_tenants():
        for counter, statement in _RECOUNTS.items():
            rows = fetch_all(statement, {**page.parameters(), "limit": MAX_DIFFERENCES}, is_planned=True)
            faults += [fault_of(counter, row.tenant_id, row.row, row.counted, row.recounted) for row in rows]
    return faults


CHECKS = (
    StateCheck(
        "counters",
        tuple(KINDS.values()),
        check_counters,
        repair_counters,
        interval=timedelta(hours=1),
        title=gettext_noop("Counters"),
        text=gettext_noop("Recounts waiting jobs and jobs in flight."),
    ),
)
