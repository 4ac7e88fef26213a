"""Writing what jobs log: one statement a flush, of however many jobs, which counts, caps and stores."""

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
from tenants.ids import uuid7
from tenants.prepared import prepared_cursor

Level = JobLog.Level
LEVELS: Mapping[str, int] = {level.label: level.value for level in Level}
# What a line costs besides its texts, so that empty lines fill a log too.
LINE_OVERHEAD_BYTES = 64
LOG_FULL = "log is full"

# What was offered in all decides what fits, so a line that does not fit keeps out every later one. Jobs in the order of
# their ids: two that write about the same ones wait for each other in the same order.
_APPEND = """
WITH given AS (
    SELECT w.*, coalesce((%(levels)s::jsonb ->> (
        SELECT s.stored ->> %(level_key)s FROM tenants_tenantsettings s WHERE s.tenant_id = w.tenant_id
    ))::int, %(default_level)s) AS lowest
    FROM jsonb_to_recordset(%(writes)s::jsonb)
        AS w(job_id uuid, tenant_id uuid, execution_id uuid, attempt int, dropped int, full_line_id uuid)
), line AS (
    SELECT l.*, sum(l.size) OVER (PARTITION BY l.job_id ORDER BY l.id) AS upto
    FROM jsonb_to_recordset(%(lines)s::jsonb)
        AS l(job_id uuid, id uuid, level int, message text, fields jsonb, at timestamptz, size bigint)
        JOIN given g ON g.job_id = l.job_id
    WHERE l.level >= g.lowest
), offer AS (
    SELECT g.*, coalesce(l.bytes, 0)::bigint AS bytes, coalesce(l.lines, 0) AS lines, coalesce(l.beyond, 0) AS beyond
    FROM given g LEFT JOIN (
        SELECT job_id, sum(size) AS bytes, count(*) AS lines, count(*) FILTER (WHERE upto > %(cap)s) AS beyond
        FROM line GROUP BY job_id
    ) l ON l.job_id = g.job_id
), tally AS (
    INSERT INTO scheduling_joblogtally AS t (job_id, tenant_id, offered_bytes, dropped_lines, full_line_id)
    SELECT job_id, tenant_id, bytes, dropped + beyond, CASE WHEN bytes > %(cap)s THEN full_line_id END
    FROM offer WHERE lines + dropped > 0 ORDER BY job_id
    ON CONFLICT (job_id) DO UPDATE SET
        offered_bytes = t.offered_bytes + excluded.offered_bytes,
        dropped_lines = t.dropped_lines + (SELECT o.dropped FROM offer o WHERE o.job_id = excluded.job_id)
            + (SELECT count(*) FROM line l WHERE l.job_id = excluded.job_id AND t.offered_bytes + l.upto > %(cap)s),
        full_line_id = coalesce(t.full_line_id, CASE WHEN t.offered_bytes + excluded.offered_bytes > %(cap)s
            THEN (SELECT o.full_line_id FROM offer o WHERE o.job_id = excluded.job_id) END)
    RETURNING job_id, offered_bytes, full_line_id
), stored AS (
    INSERT INTO scheduling_joblog (id, tenant_id, job_id, execution_id, attempt, level, message, fields, at)
    SELECT l.id, o.tenant_id, o.job_id, o.execution_id, o.attempt, l.level, l.message, l.fields, l.at
    FROM line l JOIN tally t USING (job_id) JOIN offer o USING (job_id)
    WHERE t.offered_bytes - o.bytes + l.upto <= %(cap)s
    -- A flush whose commit went through, though its answer was lost, comes again.
    ON CONFLICT DO NOTHING
), full_line AS (
    INSERT INTO scheduling_joblog (id, tenant_id, job_id, execution_id, attempt, level, message, fields, at)
    SELECT g.full_line_id, g.tenant_id, g.job_id, g.execution_id, g.attempt, %(full_level)s, %(full)s, '{}',
        clock_timestamp()
    FROM given g JOIN tally t USING (job_id) WHERE t.full_line_id = g.full_line_id
)
SELECT g.job_id, g.lowest, coalesce(t.offered_bytes > %(cap)s, false)
FROM given g LEFT JOIN tally t ON t.job_id = g.job_id
"""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that is fit to be stored; ``fields`` is JSON as text."""

    id: UUID
    level: int
    message: str
    fields: str
    at: datetime

    @property
    def size(self) -> int:
        """What it counts towards the cap."""
        return len(self.message.encode()) + len(self.fields.encode()) + LINE_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class LogWrite:
    """Lines of an execution in the order of their ids, and how many there were besides that nobody has."""

    tenant_id: UUID
    job_id: UUID
    execution_id: UUID
    attempt: int
    lines: Sequence[LogLine]
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class LogRoom:
    """What a job's log still takes: lines of this level or above, or none once it is full."""

    level: int
    is_full: bool


def append_job_logs(writes: Sequence[LogWrite]) -> list[LogRoom]:
    """Store what fits of each, one of a job at most, and count the rest; what there is room for, in the same order.

    One statement, and as the tenant alone where all are of one.
    """
    tenant_ids = {write.tenant_id for write in writes}
    with tenant_context(*tenant_ids) if len(tenant_ids) == 1 else all_tenants():
        return append_job_logs_here(writes)


def append_job_logs_here(writes: Sequence[LogWrite]) -> list[LogRoom]:
    """The same within the caller's transaction and scope."""
    parameters: dict[str, Any] = {
        "writes": json.dumps([_row_of(write) for write in writes]),
        "lines": "[" + ",".join(_as_json(line, write.job_id) for write in writes for line in write.lines) + "]",
        "cap": MAX_LOG_BYTES,
        "levels": json.dumps(LEVELS),
        "level_key": LOG_LEVEL.key,
        "default_level": LEVELS[LOG_LEVEL.default],
        "full_level": Level.WARNING,
        "full": LOG_FULL,
    }
    with prepared_cursor() as cursor:
        cursor.execute(_APPEND, parameters)
        rooms = {job_id: LogRoom(level, is_full) for job_id, level, is_full in cursor.fetchall()}
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


def _as_json(line: LogLine, job_id: UUID) -> str:
    row = {
        "job_id": str(job_id),
        "id": str(line.id),
        "level": line.level,
        "message": line.message,
        "at": line.at.isoformat(),
        "size": line.size,
    }
    return json.dumps(row)[:-1] + f', "fields": {line.fields}}}'
