"""Pruning of history: first whole days that no plan keeps, then rows of tenants with a shorter retention.

Executions and charges are the two sides of the ledger. When rows of either are pruned, their sum is written as one
closing row for each tenant in the same transaction, so that the ledger stays balanced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import OperationalError
from psycopg.errors import LockNotAvailable
from psycopg.rows import scalar_row, tuple_row

from scheduling.upkeep.partitions import LOCK_TIMEOUT, Partition, list_partitions
from scheduling.upkeep.retention.rules import Cutoffs, RetentionClass, first_due, greatest_cutoff, record_pruning
from tenants.context import all_tenants
from tenants.database.ids import uuid7_floor, uuid7s
from tenants.database.partitions import drop_partition
from tenants.database.prepared import execute, fetch_all, fetch_one, set_config
from tenants.database.sql import load_sql
from tenants.holds.service import list_held
from tenants.tenancy.queries import read_pages

# Class of each history table.
TABLES: Mapping[str, RetentionClass] = {
    "scheduling_execution": RetentionClass.EXECUTIONS,
    "scheduling_jobevent": RetentionClass.EVENTS,
    "scheduling_charge": RetentionClass.CHARGES,
    "scheduling_joberror": RetentionClass.EVENTS,
    "scheduling_joblog": RetentionClass.JOB_LOGS,
}
# Conditions that find the old rows of one tenant by an index: by the job, which is older than its history, or by the
# row itself.
TENANT_TABLES = {
    "scheduling_execution": "h.tenant_id = {tenant_id} AND h.job_id < {floor} AND h.id < {floor}",
    "scheduling_jobevent": "h.tenant_id = {tenant_id} AND h.job_id < {floor} AND h.id < {floor}",
    "scheduling_joberror": "h.tenant_id = {tenant_id} AND h.id < {floor}",
    "scheduling_joblog": "h.tenant_id = {tenant_id} AND h.id < {floor}",
    "scheduling_charge": "h.tenant_id = {tenant_id} AND h.id < {floor}",
}
_SQL = load_sql(__file__)
# Contribution of a pruned row to the ledger's difference of charges and measured time; the closing row restores it.
_LEDGER_VALUES = {
    "scheduling_execution": f"(-{_SQL['measured_charge']})::bigint",
    "scheduling_charge": "microseconds",
}
_CLOSE = _SQL["close_ledger"]
_HAS_ROWS_OF = _SQL["has_rows_of"]
_DUE = f"{_SQL['probe_due_tenants']} FROM {{table}} h WHERE {{is_old}} {_SQL['until_first_due']}"
_SUMS = {"scheduling_execution": _SQL["sum_executions"], "scheduling_charge": _SQL["sum_charges"]}
_CHOOSE = "SELECT h.id FROM {table} h WHERE {is_old} LIMIT %(limit)s"
_DELETE = "DELETE FROM {table} WHERE id = ANY (%s) RETURNING tenant_id, {value}"


@dataclass(frozen=True, slots=True)
class DroppedDay:
    """Name of the dropped partition, or None.

    ``was_locked`` means that the table was in use, so the partition was kept. ``held`` is the number of old partitions
    that were kept because they have rows of tenants with a legal hold.
    """

    partition: str | None
    was_locked: bool = False
    held: int = 0


@dataclass(frozen=True, slots=True)
class PrunedHistory:
    """Number of rows deleted for one tenant; ``tenant_id`` is None if no tenant had old rows."""

    tenant_id: UUID | None
    rows: int


def drop_oldest_day(table: str) -> DroppedDay:
    """Drop the oldest partition of a table if no plan and no legal hold keeps any of its rows.

    Of a partition that a hold keeps, the rows of other tenants are deleted by `prune_tenant_history`.
    """
    try:
        with all_tenants():
            until = uuid7_floor(greatest_cutoff(TABLES[table]))
            expired, held = [part for part in list_partitions(table) if part.until <= until], list_held()
            old = [part for part in expired if not (held and _has_rows_of(held, table, part))]
            if not old:
                return DroppedDay(None, held=len(expired))
            oldest = min(old, key=lambda part: part.until)
            # The long read comes first, then the lock that blocks all others.
            sums = _day_sums(table, oldest.since, oldest.until)
            _close(sums)
            bounds = {"first": oldest.since, "behind": oldest.until}
            rows = fetch_one(_SQL["count_day"].format(table=table), bounds, scalar_row)
            execute(*set_config({"lock_timeout": LOCK_TIMEOUT}), is_planned=True)
            drop_partition(partition=oldest.name)
            record_pruning(str(TABLES[table]), {table: rows}, partition=oldest.name)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        return DroppedDay(None, was_locked=True)
    return DroppedDay(oldest.name)


def prune_tenant_history(table: str, cutoffs: Cutoffs, *, limit: int) -> PrunedHistory:
    """Delete at most ``limit`` old rows of one tenant from a table; it is the first of these tenants that has any."""
    is_old = TENANT_TABLES[table]
    with all_tenants():
        of_each = is_old.format(tenant_id="d.tenant_id", floor="d.floor")
        due = first_due(cutoffs, _DUE.format(table=table, is_old=of_each), {})
        if due is None:
            return PrunedHistory(None, 0)
        of_one = is_old.format(tenant_id="%(tenant_id)s", floor="%(floor)s")
        statement = _CHOOSE.format(table=table, is_old=of_one)
        ids = fetch_all(statement, {**due.parameters(), "limit": limit}, scalar_row, is_planned=True)
        gone = _delete(table, ids)
        record_pruning(str(TABLES[table]), {table: gone}, tenant_id=due.tenant_id, before=due.cutoff)
        return PrunedHistory(due.tenant_id, gone)


def day_of(moment: datetime) -> datetime:
    """Return the start of the day of a moment. Rows expire by whole days, so that whole partitions can be dropped."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _delete(table: str, ids: list[UUID]) -> int:
    """Delete rows by id and write their closing rows of the ledger; return the number of deleted rows."""
    sums: dict[UUID, int] = {}
    statement = _DELETE.format(table=table, value=_LEDGER_VALUES.get(table, "0"))
    gone = fetch_all(statement, [ids], tuple_row, is_planned=True)
    for tenant_id, microseconds in gone:
        sums[tenant_id] = sums.get(tenant_id, 0) + microseconds
    _close(sums)
    return len(gone)


def _has_rows_of(tenant_ids: list[UUID], table: str, part: Partition) -> bool:
    values = {"tenant_ids": tenant_ids, "first": part.since, "behind": part.until}
    return bool(fetch_one(_HAS_ROWS_OF.format(table=table), values, scalar_row, is_planned=True))


def _day_sums(table: str, since: UUID, until: UUID) -> dict[UUID, int]:
    if table not in _SUMS:
        return {}
    sums: dict[UUID, int] = {}
    # Past days get no new rows, so the pages add up to what is dropped.
    for page in read_pages():
        rows = fetch_all(_SUMS[table], {**page.parameters(), "first": since, "behind": until}, is_planned=True)
        sums |= {row.tenant_id: row.microseconds for row in rows}
    return sums


def _close(sums: Mapping[UUID, int]) -> None:
    if any(sums.values()):
        values: dict[str, Any] = {
            "ids": uuid7s(len(sums)),
            "tenant_ids": list(sums),
            "microseconds": list(sums.values()),
        }
        execute(_CLOSE, values, is_planned=True)
