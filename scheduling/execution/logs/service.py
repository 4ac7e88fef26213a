"""Writes of job logs: one statement stores the lines of any number of jobs and limits the size of each log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from scheduling.conf import MAX_LOG_BYTES
from scheduling.models import JobLog
from scheduling.tenant_settings import LOG_LEVEL
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import is_sealing, sealed_field

Level = JobLog.Level
LEVELS: Mapping[str, int] = {level.label: level.value for level in Level}
# The cost of a line besides its texts, so that empty lines fill a log too.
LINE_OVERHEAD_BYTES = 64
LOG_FULL = "log is full"

_APPEND = load_sql(__file__)["append_logs"]
_SEALED = sealed_field(JobLog, "sealed")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A log line that can be stored; ``fields`` is JSON as text."""

    id: UUID
    level: int
    message: str
    fields: str
    at: datetime

    @property
    def size(self) -> int:
        """Return the number of bytes that the line counts towards the maximum size of the log."""
        return len(self.message.encode()) + len(self.fields.encode()) + LINE_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class LogWrite:
    """Log lines of one execution to be stored, in the order of their ids, and how many were dropped before."""

    tenant_id: UUID
    job_id: UUID
    execution_id: UUID
    attempt: int
    lines: Sequence[LogLine]
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class LogRoom:
    """What a job's log still accepts: lines from this level up, or none once it is full."""

    level: int
    is_full: bool


def append_job_logs(writes: Sequence[LogWrite]) -> list[LogRoom]:
    """Store the lines that fit into the logs, and count the others; return what each log accepts from now on.

    There is at most one write for a job. One statement runs, in the tenant's context if all writes are of one tenant.
    """
    tenant_ids = {write.tenant_id for write in writes}
    with tenant_context(*tenant_ids) if len(tenant_ids) == 1 else all_tenants():
        return append_job_logs_here(writes)


def append_job_logs_here(writes: Sequence[LogWrite]) -> list[LogRoom]:
    """Store log lines as `append_job_logs` does, within the caller's transaction and tenant context."""
    parameters: dict[str, Any] = {
        "writes": json.dumps([_row_of(write) for write in writes]),
        "lines": "[" + ",".join(_as_json(line, write) for write in writes for line in write.lines) + "]",
        "cap": MAX_LOG_BYTES,
        "levels": json.dumps(LEVELS),
        "level_key": LOG_LEVEL.key,
        "default_level": LEVELS[LOG_LEVEL.default],
        "full_level": Level.WARNING,
        "kept_level": Level.ERROR,
        "full": LOG_FULL,
    }
    rooms = {row.job_id: LogRoom(row.lowest, row.is_full) for row in fetch_all(_APPEND, parameters)}
    return [rooms[write.job_id] for write in writes]


def _row_of(write: LogWrite) -> dict[str, Any]:
    return {
        "job_id": str(write.job_id),
        "tenant_id": str(write.tenant_id),
        "execution_id": str(write.execution_id),
        "attempt": write.attempt,
        "dropped": write.dropped,
        "full_line_id": str(uuid7()),
    }


def _as_json(line: LogLine, write: LogWrite) -> str:
    row: dict[str, Any] = {
        "job_id": str(write.job_id),
        "id": str(line.id),
        "level": line.level,
        "message": line.message,
        "at": line.at.isoformat(),
        "size": line.size,
    }
    if not is_sealing():
        return json.dumps(row)[:-1] + f', "fields": {line.fields}}}'
    content = {"message": line.message, "fields": json.loads(line.fields)}
    try:
        sealed = _SEALED.stored(content, tenant_id=write.tenant_id, row_id=line.id)
    except DataKeyUnavailableError as error:
        # The line is lost, but not the settlement that it may be written with.
        return json.dumps(row | {"message": error.code, "fields": {}})
    return json.dumps(row | {"message": "", "fields": {}, "sealed": sealed})
