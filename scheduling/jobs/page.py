"""The page of one job: its attempts on a time axis, its history, its error, and what submitted it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.apps import apps
from django.utils import timezone
from django.utils.module_loading import import_string

from scheduling.jobs.charts import AXIS_UNITS, GanttRow, draw_attempts, fold_traceback, folded_words, trace_states
from scheduling.jobs.filters.terms import write_value
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.list_page import list_url_of_text
from scheduling.jobs.masking import summarize_stored
from scheduling.jobs.meta.models import MAX_FOUND_CHARACTERS
from scheduling.jobs.page_queries import JobPageRows, read_job_page
from scheduling.jobs.payload_form.shapes import write_json
from scheduling.models import Job
from scheduling.tracing import trace_id_of
from tenants.context import require_scope
from tenants.database.platform_settings import platform_settings

BODY_TEMPLATE = "scheduling/dashboards/job_body.html"


def job_page_context(job: Job) -> dict[str, Any]:
    """Return the template context of the job's page."""
    rows = read_job_page(job)
    now = timezone.now()
    return {
        "page": rows,
        "shows_pool_position": require_scope().is_all_tenants,
        "trace_id": (trace_id := trace_id_of(job.traceparent)),
        "trace_url": platform_settings.TRACE_URL_TEMPLATE.replace("{trace_id}", trace_id) if trace_id else "",
        "job": job,
        "gantt": _rows(rows, now),
        "axis_units": AXIS_UNITS,
        "stretches": trace_states(
            [(event.at, event.state) for event in rows.events], now=now, is_over=job.finished_at is not None
        ),
        "traceback": [(frames, folded_words(frames)) for frames in fold_traceback(rows.traceback)],
        "lived": (job.finished_at or now) - job.created_at,
        "waited": (job.started_at or job.finished_at or now) - job.created_at,
        "meta": [_meta_line(name, value) for name, value in job.meta.items()],
        "payload_summary": summarize_stored(job, "payload"),
        "result_summary": summarize_stored(job, "result") if _has(job, "result") else None,
        "checkpoint_summary": summarize_stored(job, "checkpoint") if _has(job, "checkpoint") else None,
        "record": _record_of(job),
        "progress_share": job.progress_current / job.progress_total if job.progress_total else None,
    }


def _record_of(job: Job) -> tuple[str, str] | None:
    """Return title and address of the page of what the job does, from the function that an app names in `job_pages`."""
    paths = (getattr(config, "job_pages", {}).get(job.kind) for config in apps.get_app_configs())
    path = next(filter(None, paths), None)
    return import_string(path)(job) if path else None


def _meta_line(name: str, value: Any) -> tuple[str, str, str]:
    """Return a member of meta, its value as text, and the URL of the jobs with this value if filters find it."""
    shown = value if isinstance(value, str) else write_json(value)
    is_found = isinstance(value, str | int | float) and 0 < len(shown) <= MAX_FOUND_CHARACTERS
    return name, shown, list_url_of_text(f"meta.{name}:{write_value(shown)}") if is_found else ""


def _has(job: Job, name: str) -> bool:
    """Return whether there is a value, without decrypting it."""
    return job.__dict__.get(name) not in (None, {})


def _rows(rows: JobPageRows, now: datetime) -> list[GanttRow]:
    """Return the attempts on an axis from the job's submission to its end or now."""
    job, attempts = rows.job, rows.attempts
    moments = [job.finished_at or now, *(attempt.ended_at for attempt in attempts if attempt.ended_at)]
    is_paused = job.state in {JobState.RETRYABLE, JobState.SCHEDULED}
    return draw_attempts(
        attempts,
        rows.worker_names,
        begins=min([job.created_at, *(attempt.dispatched_at for attempt in attempts)]),
        ends=max(moments),
        now=now,
        next_at=job.run_at if is_paused else None,
    )
