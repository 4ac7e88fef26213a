"""Daily partitions of the history tables, which are created before their first row arrives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg.rows import scalar_row

from scheduling.models import Charge, Execution, JobError, JobEvent, JobLog
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.database.partitions import create_partition
from tenants.database.prepared import execute, fetch_all, fetch_one, set_config
from tenants.database.sql import load_sql
from tenants.translation import LocalizableText

DAYS_AHEAD = 7
# Fewer days ahead are a finding, well before rows fall into the default partition.
MIN_DAYS_AHEAD = 3
# Creating a partition takes a short exclusive lock; behind a long report it fails and waits for the next run, so that
# jobs do not queue behind the lock.
LOCK_TIMEOUT = "2s"
HISTORY_TABLES = tuple(model._meta.db_table for model in (Execution, JobEvent, Charge, JobLog, JobError))
_SQL = load_sql(__file__)
_PARTITIONS = _SQL["find_partitions"]
_BOUNDS = re.compile(r"FROM \('([0-9a-f-]{36})'\) TO \('([0-9a-f-]{36})'\)")
_IN_DEFAULT = _SQL["estimate_rows"]


@dataclass(frozen=True, slots=True)
class Partition:
    """Partition of a history table; it has the ids from ``since`` up to, but without, ``until``."""

    name: str
    since: UUID
    until: UUID


def maintain_partitions(*, days_ahead: int = DAYS_AHEAD) -> list[str]:
    """Create the missing partitions of the next days in every history table; return their names.

    Today gets none, because its rows are already in another partition. Each partition is created in its own
    transaction.
    """
    made = []
    midnight = _midnight()
    for table in HISTORY_TABLES:
        taken = {partition.since for partition in list_partitions(table)}
        for day in range(1, days_ahead + 1):
            starts_at = midnight + timedelta(days=day)
            if uuid7_floor(starts_at) not in taken:
                made.append(_make(table, starts_at))
    return made


def list_partitions(table: str) -> list[Partition]:
    """Return the partitions of a table, without its default partition."""
    with all_tenants():
        rows = fetch_all(_PARTITIONS, {"table": table}, is_planned=True)
    found = [(row.name, _BOUNDS.search(row.bounds)) for row in rows]
    return [Partition(name, UUID(bounds[1]), UUID(bounds[2])) for name, bounds in found if bounds is not None]


def missing_days(*, days_ahead: int = MIN_DAYS_AHEAD) -> list[LocalizableText]:
    """Return a finding for each history table that lacks a partition for one of the next days."""
    midnight = _midnight()
    wanted = {uuid7_floor(midnight + timedelta(days=day)): day for day in range(1, days_ahead + 1)}
    findings = []
    for table in HISTORY_TABLES:
        lacking = sorted(wanted[floor] for floor in wanted.keys() - {part.since for part in list_partitions(table)})
        if lacking:
            values = {"table": table, "days": ", ".join(map(str, lacking))}
            findings.append(LocalizableText("%(table)s has no partition for the days in %(days)s days.", values))
    return findings


def estimate_default_rows() -> int:
    """Return the estimated number of rows in default partitions.

    They hold the rows of the first day, and of days for which a partition was missing.
    """
    tables = [f"{table}_default" for table in HISTORY_TABLES]
    return int(fetch_one(_IN_DEFAULT, {"tables": tables}, scalar_row, is_planned=True))


def _midnight() -> datetime:
    with all_tenants():
        return read_clock().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _make(table: str, starts_at: datetime) -> str:
    with all_tenants():
        execute(*set_config({"lock_timeout": LOCK_TIMEOUT}), is_planned=True)
        return create_partition(table=table, starts_at=starts_at, ends_at=starts_at + timedelta(days=1))
