"""Reads of all rows that belong to one trace, request, batch or job; each read is bounded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from scheduling.execution.logs.queries import open_lines
from scheduling.jobs.filters.rows import CLOCK_SLACK, as_uuid
from scheduling.jobs.history import OUTPUT_EVENT, ExecutionRecord
from scheduling.models import Batch, Execution, Job, JobEvent, JobLog, LiveExecution
from tenants.audit.filters import actor_label
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.exceptions import DomainError
from tenants.models import AuditLogEntry

MAX_JOBS, MAX_ROWS, MAX_ANCESTORS = 200, 2_000, 20
# Events and executions of one job, and lines from each end of its log.
ROWS_PER_JOB, LOG_LINES = 50, 20
MAX_AUDIT_ENTRIES = 200
# How far from its time the events of a request are searched, and how many events are read.
REQUEST_RANGE, MAX_EVENTS = timedelta(minutes=1), 50_000
LONGEST_SEARCH = timedelta(hours=1, seconds=1)
_SQL = load_sql(__file__)


class CorrelationKey(StrEnum):
    """What the rows have in common."""

    TRACE = "trace"
    REQUEST = "request"
    BATCH = "batch"
    JOB = "job"


class RequestTimeMissingError(DomainError):
    """The error for a request whose time no audit entry has."""

    code, category = "request_time_missing", "invalid"
    title = gettext_noop("The audit log has no entry of this request. Give a time near it, or a range of an hour.")


@dataclass(frozen=True, slots=True)
class CorrelatedRow:
    """One job, attempt, event, log line or audit entry.

    A job and an attempt last until ``until``, which is None if they have not ended, and run since ``started_at``.
    """

    what: str
    id: UUID
    at: datetime
    title: str
    job_id: UUID | None = None
    state: str = ""
    text: str = ""
    started_at: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Correlation:
    """Rows in the order of time; ``is_cut``: there are more of them."""

    rows: list[CorrelatedRow]
    jobs: dict[UUID, Job]
    is_cut: bool


def correlate(
    key: CorrelationKey,
    value: str,
    *,
    at: datetime | None = None,
    level: int = 0,
    with_logs: bool,
    with_audit: bool,
) -> Correlation:
    """Return what belongs to the trace, request, batch or job of this id, as far as the current scope sees it.

    ``at`` is a time near a request. Log lines are those from ``level`` up. Raise `RequestTimeMissingError` if neither
    ``at`` nor an audit entry gives the time of the request.
    """
    matching = Job.objects.filter(_condition(key, value, at)).defer("payload", "result", "checkpoint", "error_message")
    found = list(matching.order_by("id")[: MAX_JOBS + 1])
    jobs = {job.id: job for job in found[:MAX_JOBS]}
    request_ids = {value} if key is CorrelationKey.REQUEST else set[str]()
    rows = [_job_row(job) for job in jobs.values()]
    is_cut = len(found) > MAX_JOBS
    if jobs:
        of_jobs, is_long = _rows_of(jobs, level if with_logs else None, request_ids)
        rows, is_cut = [*rows, *of_jobs], is_cut or is_long
    if with_audit:
        rows += map(_audit_row, _audit_entries(jobs, request_ids))
    # Rows of one time keep the order of their kinds.
    rows.sort(key=lambda row: row.at)
    return Correlation(rows[:MAX_ROWS], jobs, is_cut or len(rows) > MAX_ROWS)


def jobs_of_request(request_id: str, since: datetime | None = None, until: datetime | None = None) -> list[UUID]:
    """Return the jobs that a request changed, by its audit entry or, in a time of at most an hour, by its events.

    Raise `RequestTimeMissingError` if there is neither.
    """
    if since is None or (until or timezone.now()) - since > LONGEST_SEARCH:
        audited = AuditLogEntry.objects.filter(request_id=request_id).order_by("-id").values_list("at", flat=True)
        moment = audited.first()
        if moment is None:
            raise RequestTimeMissingError
        since, until = moment - REQUEST_RANGE, moment + REQUEST_RANGE
    bounds = {"since": uuid7_floor(since), "until": uuid7_floor(until or timezone.now())}
    values = {**bounds, "request_id": request_id, "most": MAX_EVENTS, "limit": MAX_JOBS + 1}
    return [row.job_id for row in fetch_all(_SQL["jobs_of_request"], values)]


def key_of(text: str) -> CorrelationKey:
    """Return what an id is of: of a job or a batch that the scope sees, else of a trace if it can be one."""
    wanted = as_uuid(text)
    if wanted is None:
        return CorrelationKey.REQUEST
    if Job.objects.filter(pk=wanted).exists():
        return CorrelationKey.JOB
    if Batch.objects.filter(pk=wanted).exists():
        return CorrelationKey.BATCH
    return CorrelationKey.TRACE if Job.objects.filter(trace_id=wanted).exists() else CorrelationKey.REQUEST


def _condition(key: CorrelationKey, value: str, at: datetime | None) -> Q:
    if key is CorrelationKey.REQUEST:
        around = (at - REQUEST_RANGE, at + REQUEST_RANGE) if at else (None, None)
        return Q(pk__in=jobs_of_request(value, *around))
    wanted = as_uuid(value)
    if wanted is None:
        return Q(pk__in=[])
    if key is CorrelationKey.JOB:
        values = {"job_id": wanted, "ancestors": MAX_ANCESTORS, "limit": MAX_JOBS + 1}
        return Q(pk__in=[row.job_id for row in fetch_all(_SQL["family"], values)])
    return Q(trace_id=wanted) if key is CorrelationKey.TRACE else Q(batch_id=wanted)


def _rows_of(jobs: dict[UUID, Job], level: int | None, request_ids: set[str]) -> tuple[list[CorrelatedRow], bool]:
    """Return the rows of jobs, and whether there are more; add the requests of their events to ``request_ids``."""
    values = {
        "jobs": list(jobs),
        "tenants": [job.tenant_id for job in jobs.values()],
        "since": uuid7_floor(min(job.created_at for job in jobs.values()) - CLOCK_SLACK),
        "output": OUTPUT_EVENT,
        "per_job": ROWS_PER_JOB,
        "level": level or 0,
        "lines": 0 if level is None else LOG_LINES,
    }
    ids = defaultdict[str, list[UUID]](list)
    for row in fetch_all(_SQL["rows_of_jobs"], values, is_planned=True):
        ids[row.what].append(row.id)
    events = list(JobEvent.objects.filter(pk__in=ids["event"][:MAX_ROWS]).order_by("id"))
    request_ids |= {event.request_id for event in events if event.request_id}
    rows = [
        *map(_event_row, events),
        *map(_attempt_row, _attempts(jobs, ids["attempt"][:MAX_ROWS])),
        *map(_log_row, open_lines(JobLog.objects.filter(pk__in=ids["log"][:MAX_ROWS]).order_by("id"))),
    ]
    return rows, any(len(found) > MAX_ROWS for found in ids.values())


def _attempts(jobs: Iterable[UUID], ids: list[UUID]) -> Iterator[ExecutionRecord]:
    yield from map(ExecutionRecord.of_ended, Execution.objects.filter(pk__in=ids).defer("traceback").order_by("id"))
    yield from map(ExecutionRecord.of_live, LiveExecution.objects.filter(job_id__in=list(jobs)).order_by("id"))


def _audit_entries(jobs: Iterable[UUID], request_ids: set[str]) -> Iterable[AuditLogEntry]:
    """Return the entries about the jobs and those of the requests; a request may have submitted many jobs."""
    targets = {"target_type": Job._meta.label_lower, "target_id__in": [str(job_id) for job_id in jobs]}
    requests: dict[str, Any] = {"request_id__in": sorted(request_ids)[:MAX_JOBS]}
    found = [
        entry
        for wanted in (targets, requests)
        for entry in AuditLogEntry.objects.filter(**wanted).order_by("-id")[:MAX_AUDIT_ENTRIES]
    ]
    return {entry.id: entry for entry in found}.values()


def _job_row(job: Job) -> CorrelatedRow:
    return CorrelatedRow(
        "job", job.id, job.created_at, job.kind, job.id, job.state, job.error_type, job.started_at, job.finished_at
    )


def _event_row(event: JobEvent) -> CorrelatedRow:
    return CorrelatedRow("event", event.id, event.at, event.name, event.job_id, event.state, event.actor)


def _attempt_row(attempt: ExecutionRecord) -> CorrelatedRow:
    text = ": ".join(filter(None, (attempt.error_type, attempt.error_message[:300])))
    return CorrelatedRow(
        "attempt",
        attempt.id,
        attempt.dispatched_at,
        f"#{attempt.number}",
        attempt.job_id,
        attempt.state,
        text,
        attempt.started_at,
        attempt.ended_at,
    )


def _log_row(line: JobLog) -> CorrelatedRow:
    return CorrelatedRow("log", line.id, line.at, line.message, line.job_id, line.get_level_display())


def _audit_row(entry: AuditLogEntry) -> CorrelatedRow:
    job_id = as_uuid(entry.target_id) if entry.target_type == Job._meta.label_lower else None
    return CorrelatedRow("audit", entry.id, entry.at, entry.action, job_id, "", f"{actor_label(entry)} {entry.reason}")
