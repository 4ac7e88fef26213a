"""What interfaces show of an archived job: its columns without values, its events and its executions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from scheduling.archive.exceptions import NotArchivedError
from scheduling.archive.models import ArchiveObject
from scheduling.archive.rows import EXECUTION
from scheduling.archive.service import read_lines
from tenants.encryption.error_texts import open_error

# By table, the columns that are shown.
_SHOWN = {
    "scheduling_job": (
        *("id", "kind", "state", "priority", "tags", "attempt", "execution_count", "error_type", "error_message"),
        *("created_at", "started_at", "finished_at"),
    ),
    "scheduling_jobevent": ("at", "name", "state", "actor"),
    EXECUTION: ("number", "outcome", "dispatched_at", "started_at", "ended_at", "measured_us", "error_type"),
}


def describe_job(entry: ArchiveObject, job_id: UUID) -> dict[str, Any]:
    """Return the job, its events and its executions, after the hash of the whole object was compared.

    Raise NotArchivedError, ArchiveDamagedError or ArchiveUnavailableError.
    """
    found = read_lines(entry, [job_id])
    if not found:
        raise NotArchivedError
    job, events, executions = (
        [{name: row.get(name) for name in names} for row in sorted(found[0]["rows"].get(table, ()), key=_place)]
        for table, names in _SHOWN.items()
    )
    text, tenant_id = job[0]["error_message"], entry.tenant_id
    job[0]["error_message"] = open_error(text, tenant_id=tenant_id, owner_id=job_id)
    return {"archived_at": entry.stored_at, "object": entry.pk, "job": job[0], "events": events,
            "executions": executions}  # fmt: skip


def _place(row: Mapping[str, Any]) -> int:
    """Return the position of an event, or the number of an execution."""
    return int(row.get("position", row.get("number", 0)))
