"""Storage of the checkpoints and the progress of running jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import OperationalError
from psycopg.errors import LockNotAvailable

from scheduling.conf import BY_INDEX, MAX_PAYLOAD_BYTES
from scheduling.exceptions import FenceLostError, JobLockedError
from scheduling.execution.settlement import Progress
from scheduling.kit.base import PermanentError
from scheduling.models import Job
from tenants.context import query_cross_tenant, tenant_context
from tenants.database.prepared import prepared_cursor, set_config
from tenants.database.sql import load_sql
from tenants.encryption.fields import sealed_field

_SQL = load_sql(__file__)
_CHECKPOINT, _PROGRESS, _LOCK = _SQL["save_checkpoint"], _SQL["save_progress"], _SQL["lock_job"]
_PROGRESS_MANY = _SQL["save_progress_many"]

_FIELD = sealed_field(Job, "checkpoint")


def save_checkpoint(
    *,
    tenant_id: UUID,
    job_id: UUID,
    fence: int,
    state: Mapping[str, Any],
    effects: Callable[[], object] | None = None,
) -> None:
    """Store ``state`` and run ``effects`` in one transaction, in the context of the job's tenant.

    The fence check locks the job's row first, so no other process can take the job before the effects are committed.
    Raise FenceLostError if another process has taken the job, and JobLockedError if another session holds the row for
    longer than the lock timeout.
    """
    state = dict(state)
    text = json.dumps(state)
    if len(text) > MAX_PAYLOAD_BYTES:
        raise PermanentError(
            f"The checkpoint has {len(text)} bytes; the limit is {MAX_PAYLOAD_BYTES}.",
            code="checkpoint_too_large",
        )
    with tenant_context(tenant_id):
        stored = _FIELD.stored(state, tenant_id=tenant_id, row_id=job_id)
        text = text if stored is state else json.dumps(stored)
        _update_under_fence(_CHECKPOINT, {"checkpoint": text, "job_id": job_id, "fence": fence})
        if effects is not None:
            effects()


def save_progress(
    *, tenant_id: UUID, job_id: UUID, fence: int, progress: Progress, patience_ms: int | None = None
) -> None:
    """Store the job's progress; raise FenceLostError if the job now belongs to another execution.

    With ``patience_ms``, wait at most so many milliseconds for the job's row; then raise OperationalError.
    """
    with tenant_context(tenant_id):
        if patience_ms is not None:
            with prepared_cursor() as cursor:
                cursor.execute(*set_config({"lock_timeout": str(patience_ms)}))
        shown = {"current": progress.current, "total": progress.total, "message": progress.message}
        _update_under_fence(_PROGRESS, {**shown, "job_id": job_id, "fence": fence})


def require_fence(*, job_id: UUID, fence: int) -> None:
    """Lock the job's row until the transaction ends; raise FenceLostError if another execution has the job."""
    _update_under_fence(_LOCK, {"job_id": job_id, "fence": fence})


def save_progress_many(reports: Sequence[tuple[UUID, int, Progress]]) -> set[UUID]:
    """Store the progress of jobs of all tenants, each with its fence, and return those of which it is stored.

    It waits for no row: a locked one is left out, as is a job that now belongs to another execution.
    """
    job_ids, fences, progress = zip(*reports, strict=True)
    values = {
        "job_ids": list(job_ids),
        "fences": list(fences),
        "currents": [one.current for one in progress],
        "totals": [one.total for one in progress],
        "messages": [one.message for one in progress],
    }
    return {job_id for (job_id,) in query_cross_tenant(_PROGRESS_MANY, values, settings=BY_INDEX)}


def _update_under_fence(statement: str, parameters: Mapping[str, Any]) -> None:
    with prepared_cursor() as cursor:
        try:
            cursor.execute(statement, parameters)
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise JobLockedError(*error.args) from error
            raise
        if cursor.rowcount == 0:
            raise FenceLostError("The job was started again or settled elsewhere.")
