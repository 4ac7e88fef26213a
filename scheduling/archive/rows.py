"""The rows of archived jobs: read as JSON lines, one for each job, and inserted again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from psycopg.rows import scalar_row, tuple_row

from scheduling.archive.exceptions import NotRestorableError
from scheduling.models import (
    Batch,
    DeadLetter,
    Execution,
    Job,
    JobError,
    JobEvent,
    JobLog,
    JobLogTally,
    JobMeta,
    JobNote,
    JobSubject,
)
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql

_JOB: Final = Job._meta.db_table
# What belongs to a job; executions are a side of the ledger, which was balanced when they were pruned, and only shown.
_RESTORED: Final = tuple(
    model._meta.db_table
    for model in (DeadLetter, JobSubject, JobLogTally, JobMeta, JobNote, JobEvent, JobError, JobLog)
)
EXECUTION: Final = Execution._meta.db_table
# Bounds of rows of history, which are younger than their job. Errors have no index by the job; they are older than the
# floor of its retention.
_YOUNGER: Final = "AND r.id >= %(first)s"
_BOUNDS: Final = {
    **{model._meta.db_table: _YOUNGER for model in (JobEvent, JobLog, Execution)},
    JobError._meta.db_table: f"{_YOUNGER} AND r.id < %(floor)s",
}
_SQL = load_sql(__file__)


def read_jobs(tenant_id: UUID, floor: UUID, job_ids: Sequence[UUID]) -> list[bytes]:
    """Return a line for each job, in the order of the ids: the rows of the job by table. Sealed values stay sealed."""
    parameters = {"tenant_id": tenant_id, "floor": floor, "job_ids": list(job_ids), "first": min(job_ids)}
    rows: dict[UUID, dict[str, list[str]]] = {job_id: {} for job_id in job_ids}
    for table in (_JOB, *_RESTORED, EXECUTION):
        column = "id" if table == _JOB else "job_id"
        statement = _SQL["read_rows"].format(table=table, column=column, bounds=_BOUNDS.get(table, ""))
        for job_id, row in fetch_all(statement, parameters, tuple_row, is_planned=True):
            rows[job_id].setdefault(table, []).append(row)
    parts = {
        job_id: ", ".join(f'"{name}": [{", ".join(r)}]' for name, r in own.items()) for job_id, own in rows.items()
    }
    return [f'{{"id": "{job_id}", "rows": {{{part}}}}}\n'.encode() for job_id, part in parts.items()]


def insert_jobs(tenant_id: UUID, jobs: Sequence[Mapping[str, Any]]) -> list[UUID]:
    """Insert the rows of parsed lines whose jobs do not exist, in the tenant's scope; return the ids of these jobs.

    References to batches and parents that were deleted are cleared. Raise NotRestorableError if a queue was deleted.
    """
    own = [row for job in jobs for row in job["rows"][_JOB]]
    for column, model, known in (("batch_id", Batch, set()), ("parent_id", Job, {row["id"] for row in own})):
        named = model._default_manager.filter(pk__in={row[column] for row in own if row[column]})
        found = known | {str(pk) for pk in named.values_list("pk", flat=True)}
        for row in own:
            row[column] = row[column] if row[column] in found else None
    try:
        with transaction.atomic():
            restored = set(_insert(_JOB, own))
    except IntegrityError as error:
        raise NotRestorableError from error
    for table in _RESTORED:
        _insert(table, [row for job in jobs if UUID(job["id"]) in restored for row in job["rows"].get(table, ())])
    execute(_SQL["uncount_pruned"], {"tenant_id": tenant_id, "job_ids": list(restored)}, is_planned=True)
    return sorted(restored)


def _insert(table: str, rows: Sequence[Mapping[str, Any]]) -> list[UUID]:
    if not rows:
        return []
    existing = fetch_all(_SQL["read_columns"], {"table": table}, scalar_row, is_planned=True)
    names = ", ".join(f'"{name}"' for name in existing if name in rows[0])
    statement = _SQL["restore_rows"].format(table=table, columns=names, column="id" if table == _JOB else "job_id")
    return fetch_all(statement, {"rows": json.dumps(rows)}, scalar_row, is_planned=True)
