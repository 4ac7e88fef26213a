"""Retention periods: those of the tenant's plan, or the tenant's own setting where it is shorter."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from scheduling.limits.declared import RETENTION
from tenants.audit.service import AuditTarget, record_audit
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import fetch_all, fetch_one
from tenants.database.sql import load_sql
from tenants.holds.service import list_held

# Tenants of one step.
TENANTS_PER_STEP = 500
NO_TENANT = UUID(int=0)
# A longer limit has the same effect, and prevents dates before the calendar's beginning.
LONGEST_DAYS = 36_500


class RetentionClass(StrEnum):
    """Type of rows that are kept for a number of days, which the plan's limit ``retention.<class>_days`` sets."""

    FINISHED_JOBS = "finished_jobs"  # completed and cancelled
    FAILED_JOBS = "failed_jobs"  # discarded and quarantined, with their dead letters
    EXECUTIONS = "executions"
    EVENTS = "events"
    CHARGES = "charges"
    JOB_LOGS = "job_logs"
    AUDIT = "audit"

    @property
    def key(self) -> str:
        """Return the key of the limit in the plan."""
        return RETENTION[self.value].key


_SQL = load_sql(__file__)
_DAYS, _OF_ALL_PLANS = _SQL["read_days"], _SQL["read_days_of_plans"]


@dataclass(frozen=True, slots=True)
class DueTenant:
    """Tenant that has rows older than its retention: rows before ``cutoff``, whose ids are below ``floor``."""

    tenant_id: UUID
    floor: UUID
    cutoff: datetime

    def parameters(self) -> dict[str, Any]:
        """Return the SQL parameters of a statement about this tenant alone."""
        return {"tenant_id": self.tenant_id, "floor": self.floor, "cutoff": self.cutoff}


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Tenants in the order of their ids, each with the time before which its rows are pruned, as parallel lists."""

    tenant_ids: list[UUID]
    moments: list[datetime]

    @property
    def floors(self) -> list[UUID]:
        """Return for each tenant the least id that is kept."""
        return [uuid7_floor(moment) for moment in self.moments]

    def without(self, tenant_ids: Collection[UUID]) -> Cutoffs:
        """Return the cutoffs of the other tenants."""
        kept = [number for number, tenant_id in enumerate(self.tenant_ids) if tenant_id not in tenant_ids]
        return Cutoffs([self.tenant_ids[number] for number in kept], [self.moments[number] for number in kept])

    @property
    def last(self) -> UUID | None:
        """Return the id of the last tenant, or None if there are no tenants."""
        return self.tenant_ids[-1] if self.tenant_ids else None

    @property
    def is_last_page(self) -> bool:
        return len(self.tenant_ids) < TENANTS_PER_STEP

    def parameters(self) -> dict[str, Any]:
        """Return the SQL parameters of a statement that reads the tenants with ``unnest``."""
        return {"tenant_ids": self.tenant_ids, "cutoffs": self.moments, "floors": self.floors}


def read_cutoffs(kept: RetentionClass, *, after: UUID = NO_TENANT) -> Cutoffs:
    """Return the cutoffs of the next tenants after the id ``after``, in one query."""
    parameters = {**_rule(kept), "after": after, "limit": TENANTS_PER_STEP}
    rows = fetch_all(_DAYS, parameters, is_planned=True)
    return Cutoffs([row.tenant_id for row in rows], [row.now - timedelta(days=row.days) for row in rows])


def first_due(cutoffs: Cutoffs, statement: str, parameters: Mapping[str, Any]) -> DueTenant | None:
    """Return the first tenant with old rows that ``statement`` finds and that no legal hold keeps, or None."""
    values = {**cutoffs.without(list_held()).parameters(), **parameters}
    due: DueTenant | None = fetch_one(statement, values, class_row(DueTenant), is_planned=True)
    return due


def greatest_cutoff(kept: RetentionClass) -> datetime:
    """Return the time before which no plan keeps rows of this class."""
    days = _days_of_plans(kept)
    return days.now - timedelta(days=days.greatest_days)  # type: ignore[no-any-return]


def least_cutoff(kept: RetentionClass) -> datetime:
    """Return the time after which every plan keeps all rows of this class."""
    days = _days_of_plans(kept)
    return days.now - timedelta(days=days.least_days)  # type: ignore[no-any-return]


def record_pruning(rule: str, removed: Mapping[str, int], *, tenant_id: UUID | None = None, **facts: Any) -> None:
    """Write the audit entry of a deletion in its transaction: the rule, and how many rows of each table were deleted.

    Without a tenant it is in the platform's chain. Nothing is written if nothing was deleted.
    """
    if counts := {table: rows for table, rows in removed.items() if rows}:
        target = AuditTarget("scheduling.retention", rule, tenant_id)
        record_audit(action="retention.pruned", target=target, after={"rule": rule, "removed": counts, **facts})


def _days_of_plans(kept: RetentionClass) -> Any:
    return fetch_one(_OF_ALL_PLANS, _rule(kept), is_planned=True)


def _rule(kept: RetentionClass) -> dict[str, Any]:
    return {"key": kept.key, "default": RETENTION[kept.value].default, "longest": LONGEST_DAYS}
