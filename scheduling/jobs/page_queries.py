"""Reads for the page of one job; each is limited, however long the job's history is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from scheduling.jobs.history import ExecutionRecord, ended_executions_of, events_of, live_execution_of
from scheduling.jobs.waits.reasons import Explanation, why_waiting
from scheduling.models import DeadLetter, Job, JobEvent, ScheduleFire, Worker
from scheduling.schedules.queries import origin_of
from tenants.models import AuditLogEntry

ATTEMPT_LIMIT = 200
EVENT_LIMIT = 200
CHILD_LIMIT = 20
AUDIT_LIMIT = 20


@dataclass(frozen=True, slots=True)
class JobPageRows:
    """The rows shown on a job's page.

    Each list has at most a fixed number of rows, the newest ones; events are ordered oldest first.
    """

    job: Job
    attempts: list[ExecutionRecord]
    worker_names: dict[UUID, str]
    events: list[JobEvent]
    has_more_events: bool
    waiting: Explanation | None
    children: list[Job]
    dead_letter: DeadLetter | None
    replayed_letter: DeadLetter | None
    origin: ScheduleFire | None
    audit: list[AuditLogEntry]
    # The newest one.
    traceback: str
    has_more_attempts: bool

    @property
    def ends_at(self) -> datetime | None:
        return self.job.finished_at


def read_job_page(job: Job) -> JobPageRows:
    """Return the rows of the job's page; at most twenty statements, each with a limit."""
    live = live_execution_of(job)
    # Tracebacks are long, and only one is shown.
    ended = list(ended_executions_of(job).defer("traceback")[: ATTEMPT_LIMIT + 1])
    attempts = [ExecutionRecord.of_ended(row) for row in ended[:ATTEMPT_LIMIT]]
    if live is not None:
        attempts.insert(0, live)
    newest_events = list(events_of(job).order_by("-id")[: EVENT_LIMIT + 1])
    return JobPageRows(
        job=job,
        attempts=attempts,
        worker_names=_worker_names(attempt.worker_id for attempt in attempts),
        events=newest_events[:EVENT_LIMIT][::-1],
        has_more_events=len(newest_events) > EVENT_LIMIT,
        waiting=why_waiting(job),
        children=list(
            Job.objects.filter(tenant_id=job.tenant_id, parent_id=job.id)
            .only("id", "kind", "state", "created_at", "tenant_id")
            .order_by("-id")[:CHILD_LIMIT]
        ),
        dead_letter=DeadLetter.objects.filter(job_id=job.id).first(),
        replayed_letter=_replayed_letter(job),
        origin=origin_of(job),
        audit=list(
            AuditLogEntry.objects.filter(target_type="scheduling.job", target_id=str(job.id)).order_by("-id")[
                :AUDIT_LIMIT
            ]
        ),
        traceback=_newest_traceback(job) if job.error_type or job.error_message else "",
        has_more_attempts=len(ended) > ATTEMPT_LIMIT,
    )


def _newest_traceback(job: Job) -> str:
    found = ended_executions_of(job).exclude(traceback="").only("tenant_id", "job_id", "traceback").first()
    return found.traceback if found else ""


def _replayed_letter(job: Job) -> DeadLetter | None:
    """Return the dead letter that this job replays, or None."""
    if job.parent_id is None:
        return None
    return DeadLetter.objects.filter(job_id=job.parent_id, requeued_job_id=job.id).first()


def _worker_names(worker_ids: Iterable[UUID | None]) -> dict[UUID, str]:
    wanted = {worker_id for worker_id in worker_ids if worker_id is not None}
    return {worker.id: str(worker) for worker in Worker.objects.filter(pk__in=wanted)} if wanted else {}
