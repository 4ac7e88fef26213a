"""A job's own page: its attempts on one axis, its history, its error, where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from scheduling.dashboards.masking import summarize_stored
from scheduling.dashboards.wording import duration_words, mark_of
from scheduling.models import Job
from scheduling.selectors.history import ExecutionRecord
from scheduling.selectors.job_page import JobPageRows, read_job_page
from scheduling.tracing import trace_id_of
from tenants.context import require_scope

BODY_TEMPLATE = "scheduling/dashboards/job_body.html"


@dataclass(frozen=True, slots=True)
class GanttRow:
    """One attempt on the axis of the job's life; offsets and widths are hundredths of it."""

    attempt: ExecutionRecord
    worker: str
    wait_left: float
    wait_width: float
    run_left: float
    run_width: float
    tone: str
    words: str


def job_page_context(job: Job) -> dict[str, Any]:
    """What the page's template draws."""
    rows = read_job_page(job)
    now = timezone.now()
    return {
        "page": rows,
        "shows_pool_position": require_scope().is_all_tenants,
        "trace_id": (trace_id := trace_id_of(job.traceparent)),
        "trace_url": settings.TRACE_URL_TEMPLATE.replace("{trace_id}", trace_id) if trace_id else "",
        "job": job,
        "gantt": draw_attempts(rows, now),
        "lived": (job.finished_at or now) - job.created_at,
        "waited": (job.started_at or job.finished_at or now) - job.created_at,
        "payload_summary": summarize_stored(job, "payload"),
        "result_summary": summarize_stored(job, "result") if _has(job, "result") else None,
        "checkpoint_summary": summarize_stored(job, "checkpoint") if _has(job, "checkpoint") else None,
        "progress_share": job.progress_current / job.progress_total if job.progress_total else None,
    }


def _has(job: Job, name: str) -> bool:
    """Whether there is a value, which need not be opened for that: what is sealed says something."""
    return job.__dict__.get(name) not in (None, {})


def draw_attempts(rows: JobPageRows, now: datetime) -> list[GanttRow]:
    """The attempts, newest first, on an axis from the job's submission to its end or now."""
    begins, ends = _axis(rows.job, rows.attempts, now)
    span = max((ends - begins).total_seconds(), 0.001)

    def offset(moment: datetime) -> float:
        return round(min(max((moment - begins).total_seconds() / span, 0.0), 1.0) * 100, 2)

    drawn = []
    for attempt in rows.attempts:
        ended = attempt.ended_at or now
        started = attempt.started_at or ended
        drawn.append(
            GanttRow(
                attempt=attempt,
                worker=rows.worker_names.get(attempt.worker_id, "") if attempt.worker_id else "",
                wait_left=offset(attempt.dispatched_at),
                wait_width=offset(started) - offset(attempt.dispatched_at),
                run_left=offset(started),
                run_width=offset(ended) - offset(started),
                tone=mark_of(attempt.state).tone,
                words=_words(attempt, now),
            )
        )
    return drawn


def _axis(job: Job, attempts: Sequence[ExecutionRecord], now: datetime) -> tuple[datetime, datetime]:
    ends = [job.finished_at or now, *(attempt.ended_at for attempt in attempts if attempt.ended_at)]
    return min([job.created_at, *(attempt.dispatched_at for attempt in attempts)]), max(ends)


def _words(attempt: ExecutionRecord, now: datetime) -> str:
    predicted = f"predicted {duration_words(attempt.predicted_seconds)}"
    if attempt.started_at is None:
        return f"handed out {duration_words((attempt.ended_at or now) - attempt.dispatched_at)}, {predicted}"
    ran = duration_words((attempt.ended_at or now) - attempt.started_at)
    return f"waited {duration_words(attempt.started_at - attempt.dispatched_at)}, ran {ran}, {predicted}"
