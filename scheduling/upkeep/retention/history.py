"""Removing history: whole days that no plan keeps, and the rows of tenants that keep less.

Executions and charges are the two sides of the ledger. Whoever removes rows of either writes what they came to as one
closing row a tenant, in the same transaction, so that the ledger balances before and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable
from psycopg.rows import namedtuple_row

from scheduling.upkeep.partitions import LOCK_TIMEOUT, list_partitions
from scheduling.upkeep.retention.rules import Cutoffs, Kept, first_due, greatest_cutoff
from tenants.context import all_tenants
from tenants.database.ids import uuid7_floor, uuid7s
from tenants.database.partitions import drop_partition
from tenants.database.prepared import planned_cursor, set_config
from tenants.database.sql import load_sql
from tenants.tenancy.queries import read_pages

# Which class each history table belongs to.
TABLES: Mapping[str, Kept] = {
    "scheduling_execution": Kept.EXECUTIONS,
    "scheduling_jobevent": Kept.EVENTS,
    "scheduling_charge": Kept.CHARGES,
    "scheduling_joberror": Kept.EVENTS,
    "scheduling_joblog": Kept.JOB_LOGS,
}
# How the old rows of one tenant are found by an index: by the job, which is older than its history, or by the row
# itself.
TENANT_TABLES = {
    "scheduling_execution": "h.tenant_id = {tenant_id} AND h.job_id < {floor} AND h.id < {floor}",
    "scheduling_jobevent": "h.tenant_id = {tenant_id} AND h.job_id < {floor} AND h.id < {floor}",
    "scheduling_joberror": "h.tenant_id = {tenant_id} AND h.id < {floor}",
    "scheduling_joblog": "h.tenant_id = {tenant_id} AND h.id < {floor}",
    "scheduling_charge": "h.tenant_id = {tenant_id} AND h.id < {floor}",
}
# What a removed row takes from the ledger's difference of charges and measured time, and its closing gives back.
_LEDGER_VALUES = {"scheduling_execution": "-measured_us", "scheduling_charge": "microseconds"}

_SQL = load_sql(__file__)
_CLOSE = _SQL["close_ledger"]
_DUE = f"{_SQL['probe_due_tenants']} FROM {{table}} h WHERE {{is_old}} {_SQL['until_first_due']}"
_SUMS = {"scheduling_execution": _SQL["sum_executions"], "scheduling_charge": _SQL["sum_charges"]}
_CHOOSE = "SELECT h.id FROM {table} h WHERE {is_old} LIMIT %(limit)s"
_DELETE = "DELETE FROM {table} WHERE id = ANY (%s) RETURNING tenant_id, {value}"


@dataclass(frozen=True, slots=True)
class DroppedDay:
    """What became of the oldest day that no plan keeps; ``was_locked``: others used the table, so it stays for now."""

    partition: str | None
    was_locked: bool = False


@dataclass(frozen=True, slots=True)
class PrunedHistory:
    """What one step removed, of the first of the tenants that had something; None: none of them had."""

    tenant_id: UUID | None
    rows: int


def drop_oldest_day(table: str) -> DroppedDay:
    """Drop the oldest partition of a table if no plan keeps any of its rows."""
    try:
        with all_tenants():
            until = uuid7_floor(greatest_cutoff(TABLES[table]))
            old = [part for part in list_partitions(table) if part.until <= until]
            if not old:
                return DroppedDay(None)
            oldest = min(old, key=lambda part: part.until)
            # First the long look, then the lock that everybody would wait for.
            sums = _day_sums(table, oldest.since, oldest.until)
            _close(sums)
            with connection.cursor() as cursor:
                cursor.execute(*set_config({"lock_timeout": LOCK_TIMEOUT}))
            drop_partition(partition=oldest.name)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        return DroppedDay(None, was_locked=True)
    return DroppedDay(oldest.name)


def prune_tenant_history(table: str, cutoffs: Cutoffs, *, limit: int) -> PrunedHistory:
    """Remove old rows of one of the tenants from a table, at most ``limit``."""
    is_old = TENANT_TABLES[table]
    with all_tenants():
        of_each = is_old.format(tenant_id="d.tenant_id", floor="d.floor")
        due = first_due(cutoffs, _DUE.format(table=table, is_old=of_each), {})
        if due is None:
            return PrunedHistory(None, 0)
        of_one = is_old.format(tenant_id="%(tenant_id)s", floor="%(floor)s")
        with connection.cursor() as cursor:
            cursor.execute(_CHOOSE.format(table=table, is_old=of_one), {**due.parameters(), "limit": limit})
            ids = [row_id for (row_id,) in cursor.fetchall()]
        return PrunedHistory(due.tenant_id, _delete(table, ids))


def day_of(moment: datetime) -> datetime:
    """The beginning of its day: rows go by whole days, so that a day's partition is dropped and not emptied first."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _delete(table: str, ids: list[UUID]) -> int:
    """Delete rows by id and close their ledger; those that are there are counted, once."""
    sums: dict[UUID, int] = {}
    with connection.cursor() as cursor:
        cursor.execute(_DELETE.format(table=table, value=_LEDGER_VALUES.get(table, "0")), [ids])
        gone = cursor.fetchall()
    for tenant_id, microseconds in gone:
        sums[tenant_id] = sums.get(tenant_id, 0) + microseconds
    _close(sums)
    return len(gone)


def _day_sums(table: str, since: UUID, until: UUID) -> dict[UUID, int]:
    if table not in _SUMS:
        return {}
    sums: dict[UUID, int] = {}
    with planned_cursor(namedtuple_row) as cursor:
        # Nothing is written into a day that is over, so the pages add up to what is dropped.
        for page in read_pages():
            cursor.execute(_SUMS[table], {**page.parameters(), "first": since, "behind": until})
            sums |= {row.tenant_id: row.microseconds for row in cursor.fetchall()}
    return sums


def _close(sums: Mapping[UUID, int]) -> None:
    if any(sums.values()):
        with connection.cursor() as cursor:
            values: dict[str, Any] = {
                "ids": uuid7s(len(sums)),
                "tenant_ids": list(sums),
                "microseconds": list(sums.values()),
            }
            cursor.execute(_CLOSE, values)
