"""Writing what jobs log: one statement a flush, which counts, caps and stores."""

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
from tenants.context import tenant_context
from tenants.ids import uuid7
from tenants.prepared import prepared_cursor

Level = JobLog.Level
LEVELS: Mapping[str, int] = {level.label: level.value for level in Level}
# What a line costs besides its texts, so that empty lines fill a log too.
LINE_OVERHEAD_BYTES = 64
LOG_FULL = "log is full"

# What was offered in all decides what fits, so a line that does not fit keeps out every later one.
_APPEND = """
WITH chosen AS (
    SELECT coalesce((%(levels)s::jsonb ->> (
        SELECT stored ->> %(level_key)s FROM tenants_tenantsettings WHERE tenant_id = %(tenant_id)s
    ))::int, %(default_level)s) AS level
), line AS (
    SELECT l.*, sum(l.size) OVER (ORDER BY l.id) AS upto
    FROM jsonb_to_recordset(%(lines)s::jsonb)
        AS l(id uuid, level int, message text, fields jsonb, at timestamptz, size bigint), chosen c
    WHERE l.level >= c.level
), offer AS (
    SELECT coalesce(sum(size), 0)::bigint AS bytes, count(*) AS lines FROM line
), tally AS (
    INSERT INTO scheduling_joblogtally AS t (job_id, tenant_id, offered_bytes, dropped_lines, full_line_id)
    SELECT %(job_id)s, %(tenant_id)s, o.bytes,
        %(dropped)s + (SELECT count(*) FROM line WHERE upto > %(cap)s),
        CASE WHEN o.bytes > %(cap)s THEN %(full_line_id)s::uuid END
    FROM offer o WHERE o.lines + %(dropped)s > 0
    ON CONFLICT (job_id) DO UPDATE SET
        offered_bytes = t.offered_bytes + excluded.offered_bytes,
        dropped_lines = t.dropped_lines + %(dropped)s
            + (SELECT count(*) FROM line WHERE t.offered_bytes + upto > %(cap)s),
        full_line_id = coalesce(t.full_line_id,
            CASE WHEN t.offered_bytes + excluded.offered_bytes > %(cap)s THEN %(full_line_id)s::uuid END)
    RETURNING offered_bytes, full_line_id
), stored AS (
    INSERT INTO scheduling_joblog (id, tenant_id, job_id, execution_id, attempt, level, message, fields, at)
    SELECT l.id, %(tenant_id)s, %(job_id)s, %(execution_id)s, %(attempt)s, l.level, l.message, l.fields, l.at
    FROM line l, tally t, offer o WHERE t.offered_bytes - o.bytes + l.upto <= %(cap)s
    -- A flush whose commit went through, though its answer was lost, comes again.
    ON CONFLICT DO NOTHING
), full_line AS (
    INSERT INTO scheduling_joblog (id, tenant_id, job_id, execution_id, attempt, level, message, fields, at)
    SELECT full_line_id, %(tenant_id)s, %(job_id)s, %(execution_id)s, %(attempt)s, %(full_level)s, %(full)s, '{}',
        clock_timestamp()
    FROM tally WHERE full_line_id = %(full_line_id)s
)
SELECT c.level, coalesce((SELECT offered_bytes > %(cap)s FROM tally), false) FROM chosen c
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
class LogRoom:
    """What a job's log still takes: lines of this level or above, or none once it is full."""

    level: int
    is_full: bool


def append_job_log(
    *,
    tenant_id: UUID,
    job_id: UUID,
    execution_id: UUID,
    attempt: int,
    lines: Sequence[LogLine],
    dropped: int = 0,
) -> LogRoom:
    """Store what fits of ``lines`` (in the order of their ids) as the tenant alone; count the rest and ``dropped``."""
    parameters: dict[str, Any] = {
        "tenant_id": tenant_id,
        "job_id": job_id,
        "execution_id": execution_id,
        "attempt": attempt,
        "lines": "[" + ",".join(_as_json(line) for line in lines) + "]",
        "dropped": dropped,
        "cap": MAX_LOG_BYTES,
        "levels": json.dumps(LEVELS),
        "level_key": LOG_LEVEL.key,
        "default_level": LEVELS[LOG_LEVEL.default],
        "full_line_id": uuid7(),
        "full_level": Level.WARNING,
        "full": LOG_FULL,
    }
    with tenant_context(tenant_id), prepared_cursor() as cursor:
        cursor.execute(_APPEND, parameters)
        level, is_full = cursor.fetchone()
    return LogRoom(level=level, is_full=is_full)


def _as_json(line: LogLine) -> str:
    row = {
        "id": str(line.id),
        "level": line.level,
        "message": line.message,
        "at": line.at.isoformat(),
        "size": line.size,
    }
    return json.dumps(row)[:-1] + f', "fields": {line.fields}}}'
