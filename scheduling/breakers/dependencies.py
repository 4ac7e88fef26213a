"""Breaker checks and reports of running jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import namedtuple_row

from scheduling.dispatch.broker import wake_on_commit
from scheduling.execution.settlement import DependencyReport, storable_text
from scheduling.models import JobEvent
from tenants.context import all_tenants, tenant_context
from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_STANDINGS, _TELL = _SQL["find_circuits"], _SQL["report_dependency"]


# Key in the event of a refused execution: whether the breaker had closed by then.
WAS_CLOSED = "was_closed"


@dataclass(frozen=True, slots=True)
class BreakerCheck:
    """The answer of the breakers before a dependency: whether the job is barred, and whether it is the probe."""

    is_barred: bool = False
    is_probe: bool = False
    until: datetime | None = None


def check_breaker(*, tenant_id: UUID, kind: str, job_id: UUID, name: str, is_shared: bool) -> BreakerCheck:
    """Return whether a breaker bars a running job from a dependency; one statement, two index probes."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "kind": kind, "name": name, "is_shared": is_shared}
    with all_tenants(), planned_cursor(namedtuple_row) as cursor:
        cursor.execute(_STANDINGS, values)
        rows = cursor.fetchall()
    barring = [row.until for row in rows if row.probe_job_id != job_id]
    if not barring:
        return BreakerCheck(is_probe=bool(rows))
    ends = [until for until in barring if until is not None]
    return BreakerCheck(is_barred=True, until=max(ends) if len(ends) == len(barring) else None)


def report_probe_result(*, tenant_id: UUID, kind: str, job_id: UUID, report: DependencyReport) -> None:
    """Report a probe's result before its job ends, because every job behind the breaker waits for it."""
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "kind": kind,
        "job_id": job_id,
        "name": report.name,
        "is_shared": report.is_shared and not report.is_own_timeout,
        "fingerprint": report.fingerprint,
        "error_type": storable_text(report.error_type),
        "error_message": storable_text(report.error_message)[:200],
        "retry_after_seconds": report.retry_after_seconds,
    }
    with all_tenants(), planned_cursor() as cursor:
        cursor.execute(_TELL, values)
        wake_on_commit()


def count_refusals(*, tenant_id: UUID, job_id: UUID, name: str) -> tuple[int, int]:
    """Return how often a job was refused for a dependency, and how often of these the breaker had closed by then."""
    with tenant_context(tenant_id):
        events = JobEvent.objects.filter(job_id=job_id, name="execution.snoozed", data__dependency=name)
        was_closed = list(events.filter(data__has_key=WAS_CLOSED).values_list(f"data__{WAS_CLOSED}", flat=True))
    return len(was_closed), sum(was_closed)
