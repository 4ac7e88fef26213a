"""New jobs as rows: where many of them wait; and a single one whole, by one statement.

What it writes is what a bulk writes table by table, by arrays of columns: the job, its place, its event, the news of it
and the audit entry. With a statement for each, the ways to the server and back are most of the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models.fields import NOT_PROVIDED
from psycopg import sql

from scheduling.lifecycle import JobState
from scheduling.models import Job, JobDeadline, JobDue, JobReady
from scheduling.services.events import actor_label
from scheduling.services.lines import Line
from tenants.context import current_actor, require_scope
from tenants.encryption.fields import sealed_field
from tenants.ids import uuid7
from tenants.inserts import array_literal, insert_rows, new_row, note_inserted
from tenants.managers import claim_for_scope
from tenants.prepared import run_behind
from tenants.services.audit import INSERT_ENTRY, AuditTarget, entry_parameters

# The columns of a job that its submission decides; the others are as every new job has them.
_GIVEN = (
    "id",
    "tenant_id",
    "kind",
    "queue_id",
    "state",
    "priority",
    "rank",
    "fair_key",
    "tags",
    "payload",
    "payload_bytes",
    "payload_hash",
    "idempotency_key",
    "max_retries",
    "run_at",
    "deadline_at",
    "traceparent",
    "created_at",
    "parent_id",
    "batch_id",
)
_PLACE = "tenant_id, entity_id, kind, rank, job_id, payload_bytes"
_PLACED = "%(tenant_id)s, %(entity_id)s, %(kind)s, %(rank)s, %(id)s, %(payload_bytes)s"
_READY = f"INSERT INTO scheduling_job_ready ({_PLACE}) VALUES ({_PLACED})"  # noqa: S608 - constants
_DUE = f"INSERT INTO scheduling_job_due (due_at, {_PLACE}) VALUES (%(run_at)s, {_PLACED})"  # noqa: S608 - constants
_DEADLINE = """
    INSERT INTO scheduling_job_deadline (job_id, tenant_id, deadline_at) VALUES (%(id)s, %(tenant_id)s, %(deadline_at)s)
"""
_EVENT = """
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, at, name, state, actor, request_id, data)
    VALUES (%(event_id)s, %(tenant_id)s, %(id)s, %(created_at)s, %(event)s, %(state)s, %(actor)s, %(request_id)s, '{}')
"""
_WAKE = """
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    VALUES (%(tenant_id)s, %(entity_id)s, %(queue_id)s, 1)
"""


def store_single(job: Job, *, line: int, event: str) -> None:
    """Store a new job that waits in this line, with an event and an audit entry of that name, and the news of it."""
    claim_for_scope(job, require_scope())
    actor = current_actor()
    target = AuditTarget(job._meta.label_lower, str(job.pk), job.tenant_id)
    entry = entry_parameters(action=event, target=target, after=told_of([job]))
    parameters = {
        **_written(job),
        "entity_id": line,
        "event": event,
        "event_id": uuid7(),
        "actor": actor_label(actor),
        "request_id": actor.request_id,
        **(entry or {}),
    }
    is_ready = job.state == JobState.AVAILABLE
    statement = _single(is_ready=is_ready, has_deadline=job.deadline_at is not None, has_entry=entry is not None)
    run_behind(statement, parameters)
    note_inserted(job)


@cache
def _single(*, is_ready: bool, has_deadline: bool, has_entry: bool) -> str:
    parts = {"place": _READY if is_ready else _DUE, "event": _EVENT}
    parts |= {"deadline": _DEADLINE} if has_deadline else {}
    parts |= {"entry": INSERT_ENTRY} if has_entry else {}
    texts = [f"job AS ({_job_statement()})", *(f"{name} AS ({text})" for name, text in parts.items())]
    return f"WITH {', '.join(texts)} {_WAKE}"


def _job_statement() -> str:
    """With what every new job has as constants of the text; what the table gives by itself is left to it."""
    given = {name: f"%({name})s" for name in _GIVEN} | {"tags": "%(tags)s::text::text[]"}
    constants = {
        str(field.column): sql.Literal(field.get_db_prep_save(field.get_default(), connection)).as_string()
        for field in Job._meta.local_concrete_fields
        if field.column not in given and not field.null and field.db_default is NOT_PROVIDED
    }
    columns = given | constants
    return f"INSERT INTO scheduling_job ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"  # noqa: S608 - constants


@cache
def _fields() -> list[models.Field[Any, Any]]:
    return [field for field in Job._meta.local_concrete_fields if field.column in _GIVEN]


def _written(job: Job) -> dict[str, Any]:
    """The columns that the submission decides, as the driver takes them."""
    values = {str(field.column): job.__dict__[field.attname] for field in _fields()}
    payload = sealed_field(Job, "payload")
    values["payload"] = payload.get_db_prep_save(payload.pre_save(job, add=True), connection)
    values["tags"] = array_literal(job.tags)
    return values


def told_of(jobs: Sequence[Job]) -> dict[str, Any]:
    """What the audit entry of a submission says."""
    return {"jobs": len(jobs), "kinds": sorted({job.kind for job in jobs})}


def place_waiting(jobs: Sequence[Job], lines: Mapping[Line, int], *, now: datetime) -> None:
    """Put each job where it waits: among the ready, or among the due until its time comes."""
    ready, due, deadlines = [], [], []
    for job in jobs:
        place = {
            "tenant_id": job.tenant_id,
            "entity_id": lines[job.queue_id, job.fair_key],
            "kind": job.kind,
            "rank": job.rank,
            "job_id": job.id,
            "payload_bytes": job.payload_bytes,
        }
        if job.run_at > now:
            due.append(new_row(JobDue, due_at=job.run_at, **place))
        else:
            ready.append(new_row(JobReady, **place))
        if job.deadline_at is not None:
            deadlines.append(new_row(JobDeadline, job_id=job.id, tenant_id=job.tenant_id, deadline_at=job.deadline_at))
    for rows in (ready, due, deadlines):
        insert_rows(rows)
