"""How long what is kept: by the tenant's plan, shorter where the tenant says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection

from tenants.ids import uuid7_floor

# Tenants looked at in one step.
TENANTS_PER_STEP = 500
NO_TENANT = UUID(int=0)
# A limit beyond it means the same, and no date before the calendar's beginning is computed.
LONGEST_DAYS = 36_500


class Kept(StrEnum):
    """The classes of what is kept; ``retention.<class>_days`` is the plan's limit."""

    FINISHED_JOBS = "finished_jobs"  # completed and cancelled
    FAILED_JOBS = "failed_jobs"  # discarded and quarantined, with their dead letters
    EXECUTIONS = "executions"
    EVENTS = "events"
    CHARGES = "charges"
    JOB_LOGS = "job_logs"
    AUDIT = "audit"

    @property
    def key(self) -> str:
        """The key of the plan's limit."""
        return f"retention.{self.value}_days"


# Days of a plan that does not say.
DEFAULT_DAYS: Mapping[Kept, int] = {
    Kept.FINISHED_JOBS: 30,
    Kept.FAILED_JOBS: 90,
    Kept.EXECUTIONS: 90,
    Kept.EVENTS: 90,
    Kept.CHARGES: 400,
    Kept.JOB_LOGS: 30,
    Kept.AUDIT: 400,
}
# Nothing younger than a day is ever removed. A tenant's own setting of the same name may only shorten.
_DAYS = """
    SELECT t.id, greatest(1, least(coalesce(l.value, %(default)s), %(longest)s,
            CASE WHEN jsonb_typeof(s.stored -> %(key)s) = 'number' THEN (s.stored ->> %(key)s)::numeric END))::int,
        now()
    FROM tenants_tenant t LEFT JOIN tenants_planlimit l ON l.plan_id = t.plan_id AND l.key = %(key)s
        LEFT JOIN tenants_tenantsettings s ON s.tenant_id = t.id
    WHERE t.id > %(after)s ORDER BY t.id LIMIT %(limit)s
"""
_OF_ALL_PLANS = """
    SELECT least(greatest(1, {chosen}(coalesce(l.value, %(default)s))), %(longest)s)::int, now()
    FROM tenants_plan p LEFT JOIN tenants_planlimit l ON l.plan_id = p.id AND l.key = %(key)s
"""

# The tenants of a page with their cutoffs, as a row source `d`.
DUE = """
    unnest(%(tenant_ids)s::uuid[], %(floors)s::uuid[], %(cutoffs)s::timestamptz[]) AS d(tenant_id, floor, cutoff)
"""
# A probe of the index for each tenant until one has something. EXISTS would be turned into a join over all jobs.
_FIRST_DUE = """
SELECT d.tenant_id, d.floor, d.cutoff FROM {due} CROSS JOIN LATERAL (SELECT 1 AS one {old} LIMIT 1) AS found LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class DueTenant:
    """A tenant that has rows older than it keeps them."""

    tenant_id: UUID
    floor: UUID
    cutoff: datetime

    def parameters(self) -> dict[str, Any]:
        """For a statement about this tenant alone."""
        return {"tenant_id": self.tenant_id, "floor": self.floor, "cutoff": self.cutoff}


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """From when on the rows of some tenants are kept, as parallel columns for a statement; ordered by tenant."""

    tenant_ids: list[UUID]
    moments: list[datetime]

    @property
    def floors(self) -> list[UUID]:
        """The least ids that are kept."""
        return [uuid7_floor(moment) for moment in self.moments]

    @property
    def last(self) -> UUID | None:
        """The last tenant of the page, None if there was none."""
        return self.tenant_ids[-1] if self.tenant_ids else None

    @property
    def is_last_page(self) -> bool:
        return len(self.tenant_ids) < TENANTS_PER_STEP

    def parameters(self) -> dict[str, Any]:
        """For ``unnest`` in a statement."""
        return {"tenant_ids": self.tenant_ids, "cutoffs": self.moments, "floors": self.floors}


def read_cutoffs(kept: Kept, *, after: UUID = NO_TENANT) -> Cutoffs:
    """The cutoffs of the next tenants after one, of all classes of rows alike: one statement."""
    parameters = {**_rule(kept), "after": after, "limit": TENANTS_PER_STEP}
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, parameters)
        rows = cursor.fetchall()
    return Cutoffs([row[0] for row in rows], [now - timedelta(days=days) for _, days, now in rows])


def first_due(cutoffs: Cutoffs, old: str, parameters: Mapping[str, Any]) -> DueTenant | None:
    """The first of the tenants that has a row of ``FROM … WHERE …``, which names their columns of ``d``."""
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_DUE.format(due=DUE, old=old), {**cutoffs.parameters(), **parameters})
        row = cursor.fetchone()
    return None if row is None else DueTenant(*row)


def greatest_cutoff(kept: Kept) -> datetime:
    """Before this nothing of the class is kept, by whatever plan."""
    return _cutoff_of_plans(kept, "max")


def least_cutoff(kept: Kept) -> datetime:
    """From this on everything of the class is kept, by whatever plan."""
    return _cutoff_of_plans(kept, "min")


def _cutoff_of_plans(kept: Kept, chosen: str) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(_OF_ALL_PLANS.format(chosen=chosen), _rule(kept))
        days, now = cursor.fetchone()
    return now - timedelta(days=days)  # type: ignore[no-any-return]


def _rule(kept: Kept) -> dict[str, Any]:
    return {"key": kept.key, "default": DEFAULT_DAYS[kept], "longest": LONGEST_DAYS}
