"""Breaker functions for running jobs: the check before a request to a dependency, and the report of its result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from scheduling.breakers.rules import DependencyReport
from scheduling.dispatch.broker import wake_on_commit
from scheduling.execution.json_limits import storable_text
from scheduling.models import JobEvent
from tenants.context import all_tenants, tenant_context
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql
from tenants.encryption.error_texts import seal_error

_SQL = load_sql(__file__)
_STANDINGS, _TELL = _SQL["find_circuits"], _SQL["report_dependency"]


# Key in the event of a refused execution: whether the breaker was closed, so that the job was not its probe.
WAS_CLOSED = "was_closed"


@dataclass(frozen=True, slots=True)
class BreakerCheck:
    """Result of a check of the breakers before a request to a dependency.

    ``is_barred``: the job must not send it, until ``until`` or, if that is None, without an end. ``is_probe``: the job
    is the probe of a half-open breaker.
    """

    is_barred: bool = False
    is_probe: bool = False
    until: datetime | None = None


def check_breaker(*, tenant_id: UUID, kind: str, job_id: UUID, name: str, is_shared: bool) -> BreakerCheck:
    """Return whether an open breaker forbids a running job to use a dependency, with a single query.

    The job that probes a breaker may use it. ``until`` of the result is None if some breaker has no end.
    """
    values: dict[str, Any] = {"tenant_id": tenant_id, "kind": kind, "name": name, "is_shared": is_shared}
    with all_tenants():
        rows = fetch_all(_STANDINGS, values, is_planned=True)
    barring = [row.until for row in rows if row.probe_job_id != job_id]
    if not barring:
        return BreakerCheck(is_probe=bool(rows))
    ends = [until for until in barring if until is not None]
    return BreakerCheck(is_barred=True, until=max(ends) if len(ends) == len(barring) else None)


def report_probe_result(*, tenant_id: UUID, kind: str, job_id: UUID, report: DependencyReport) -> None:
    """Store the result of a probe before its job ends, because all jobs behind the breaker wait for it.

    The next tick of a dispatcher closes the breaker or opens it again.
    """
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "kind": kind,
        "job_id": job_id,
        "name": report.name,
        "is_shared": report.is_shared and not report.is_own_timeout,
        "fingerprint": report.fingerprint,
        "error_type": storable_text(report.error_type),
        "error_message": seal_error(storable_text(report.error_message)[:500], tenant_id=tenant_id, owner_id=job_id),
        "retry_after_seconds": report.retry_after_seconds,
    }
    with all_tenants():
        execute(_TELL, values, is_planned=True)
        wake_on_commit()


def count_refusals(*, tenant_id: UUID, job_id: UUID, name: str) -> tuple[int, int]:
    """Return how often a dependency refused requests of a job, and how often of these its breaker was closed."""
    with tenant_context(tenant_id):
        events = JobEvent.objects.filter(job_id=job_id, name="execution.snoozed", data__dependency=name)
        was_closed = list(events.filter(data__has_key=WAS_CLOSED).values_list(f"data__{WAS_CLOSED}", flat=True))
    return len(was_closed), sum(was_closed)
