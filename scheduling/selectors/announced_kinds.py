"""Kinds whose jobs wait because no live worker of their pool announces them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from tenants.context import require_scope

# The gate before their jobs, followed by the id of the pool.
UNKNOWN = "unknown"
# A rolling deploy ends before; a kind that is unknown for longer has been forgotten.
ALARM_AFTER = timedelta(minutes=5)
# Gates and kinds are found by hopping over an index, and of each only the first jobs are read.
_WAITING = f"""
WITH RECURSIVE hop AS (
    (SELECT gate, kind FROM scheduling_job_held WHERE gate > '{UNKNOWN}' ORDER BY gate, kind LIMIT 1)
    UNION ALL
    SELECT next.gate, next.kind FROM hop CROSS JOIN LATERAL (
        SELECT h.gate, h.kind FROM scheduling_job_held h WHERE (h.gate, h.kind) > (hop.gate, hop.kind)
        ORDER BY h.gate, h.kind LIMIT 1
    ) next
), waiting AS (
    SELECT p.name, hop.kind, (SELECT min(f.held_at) FROM (
        SELECT held_at FROM scheduling_job_held WHERE gate = hop.gate AND kind = hop.kind ORDER BY rank LIMIT 100
    ) f) AS since
    FROM hop JOIN scheduling_workerpool p ON '{UNKNOWN} ' || p.id = hop.gate
)
SELECT name, kind, since FROM waiting WHERE since <= clock_timestamp() - make_interval(secs => %s) ORDER BY since, kind
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class UnknownKind:
    """A kind whose jobs wait in a pool, and since when the first of them was set aside."""

    pool: str
    kind: str
    since: datetime


def list_unknown_kinds(*, waiting_for: timedelta = ALARM_AFTER) -> Sequence[UnknownKind]:
    """Return the kinds whose jobs have waited for so long for a worker that announces them, the longest first."""
    require_scope()
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [waiting_for.total_seconds()])
        return [UnknownKind(*row) for row in cursor.fetchall()]
