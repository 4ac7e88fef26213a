"""Reads of a job's history: its events, its ended executions, and its execution in flight."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from scheduling.exceptions import ExecutionNotFoundError
from scheduling.models import Execution, Job, JobEvent, LiveExecution
from tenants.database.reads import first_or_raise, from_row
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import SealedValueBrokenError

# The phase of an execution, or its outcome.
EXECUTION_STATES = [*LiveExecution.Phase.choices, *Execution.Outcome.choices]


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    """One dispatch of a job, ended or in flight.

    ``state`` is ``dispatched`` or ``executing`` while it is in flight, and its outcome afterwards. ``seconds`` is the
    measured slot time, None until it has ended; ``predicted_seconds`` is the prediction at its dispatch.
    """

    id: UUID
    job_id: UUID
    number: int
    kind: str
    state: str
    worker_id: UUID | None
    dispatched_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    predicted_seconds: float
    error_type: str
    error_message: str
    traceback: str
    peak_memory_kib: int | None = None
    cpu_seconds: float | None = None
    io_bytes: int | None = None
    is_yield_requested: bool = False

    @classmethod
    def of_ended(cls, row: Execution) -> ExecutionRecord:
        """Build the record of an ended execution from its row."""
        return from_row(
            cls,
            row,
            state=row.outcome,
            seconds=row.measured_us / 1_000_000,
            predicted_seconds=row.predicted_us / 1_000_000,
            cpu_seconds=None if row.cpu_us is None else row.cpu_us / 1_000_000,
            # A deferred traceback is not needed.
            traceback="" if "traceback" in row.get_deferred_fields() else row.traceback,
            is_yield_requested=False,
        )

    @classmethod
    def of_live(cls, row: LiveExecution) -> ExecutionRecord:
        """Build the record of an execution in flight from its row."""
        return from_row(
            cls,
            row,
            state=row.phase,
            ended_at=None,
            seconds=None,
            predicted_seconds=row.expected_us / 1_000_000,
            error_type="",
            error_message="",
            traceback="",
            peak_memory_kib=None,
            cpu_seconds=None,
            io_bytes=None,
            is_yield_requested=row.yield_requested_at is not None,
        )


# An event that is no change of the job: a piece of its output.
OUTPUT_EVENT = "job.output"
# The event data shown to tenants; the scheduler's numbers (start tags, predictions) would reveal others' load.
_VISIBLE_DATA = frozenset({"cause", "fallback", "moved", "number", "reason", "retry_in_seconds", "strategy"})


def visible_event_data(event: JobEvent) -> dict[str, Any]:
    """Return the part of an event's data that a tenant may see; of an output, those who may read results."""
    if event.name == OUTPUT_EVENT:
        return dict(event.data)
    # The reason of a pick reveals whether others competed: `fairness/decisions/` has it, and not tenants.
    visible = _VISIBLE_DATA - {"reason"} if event.name == "job.dispatched" else _VISIBLE_DATA
    return {name: value for name, value in event.data.items() if name in visible}


def readable_output(event: JobEvent) -> dict[str, Any]:
    """Return the data of an output event, or only the reason why it cannot be decrypted."""
    try:
        return dict(event.data)
    except (DataKeyUnavailableError, SealedValueBrokenError) as error:
        return {"unreadable": error.code}


def events_of(job: Job) -> QuerySet[JobEvent]:
    """Return a queryset of all changes of the job, oldest first."""
    return JobEvent.objects.filter(job_id=job.id).exclude(name=OUTPUT_EVENT).order_by("id")


def ended_executions_of(job: Job) -> QuerySet[Execution]:
    """Return a queryset of the job's ended executions, newest first."""
    return Execution.objects.filter(job_id=job.id).order_by("-id")


def live_execution_of(job: Job) -> ExecutionRecord | None:
    """Return the job's execution in flight, or None."""
    row = LiveExecution.objects.filter(job_id=job.id).first()
    return None if row is None else ExecutionRecord.of_live(row)


def get_execution(execution_id: UUID) -> ExecutionRecord:
    """Return one execution of the current tenant context, in flight or ended.

    Raise `ExecutionNotFoundError`, also for another tenant's execution.
    """
    live = LiveExecution.objects.filter(id=execution_id).first()
    if live is not None:
        return ExecutionRecord.of_live(live)
    # It may have ended between the two reads; the reverse is impossible.
    ended = first_or_raise(Execution.objects.filter(id=execution_id), ExecutionNotFoundError)
    return ExecutionRecord.of_ended(ended)
