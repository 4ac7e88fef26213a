"""What happened to jobs, page by page in the order of ids, of transactions that are all over.

Nothing is added any more to what transactions between two horizons wrote, whatever the ids are: so a page may go on
after an id, along the key, and no look walks more than so many rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

# Events that a page walks, of all tenants, and that it tells of.
WALKED = 20_000
TOLD = 200
# And of one of several tenants.
TOLD_OF_EACH = 100
# A row has the lower half of its transaction's number; no row that is seen is of one that has not begun. A settlement
# always moves its job; of the others these do. OFFSET keeps each look-up a probe of its index.
_PAGE = """
WITH upcoming AS MATERIALIZED (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS number
), walked AS MATERIALIZED (
    SELECT e.id, e.tenant_id, e.job_id, e.execution_id, e.at, e.name, e.state, (e.xmin::text)::bigint AS written_by
    FROM scheduling_jobevent e WHERE e.id >= %(first)s ORDER BY e.id LIMIT %(walked)s
), wanted AS MATERIALIZED (
    SELECT w.*, row_number() OVER (PARTITION BY w.tenant_id ORDER BY w.id) AS place
    FROM walked w CROSS JOIN upcoming u
        CROSS JOIN LATERAL (SELECT u.number - ((u.number - w.written_by) & 4294967295) AS number) t
    WHERE t.number >= %(settled)s AND t.number < %(until)s AND w.tenant_id = ANY(%(tenants)s)
        AND w.state = ANY(%(states)s) AND w.name <> 'execution.closed'
        AND (w.name LIKE 'execution.%%' OR w.name IN ('job.cancelled', 'job.discarded', 'job.quarantined'))
), told AS (
    SELECT w.id, w.tenant_id, w.job_id, w.at, w.state, j.kind, q.name AS queue, j.tags, j.fair_key, j.idempotency_key,
        j.batch_id, j.parent_id, j.priority, j.attempt,
        coalesce(nullif(x.error_type, ''), j.error_type) AS error_type,
        CASE WHEN x.error_type <> '' THEN x.error_message ELSE j.error_message END AS error_message
    FROM wanted w
        CROSS JOIN LATERAL (SELECT o.kind, o.queue_id, o.tags, o.fair_key, o.idempotency_key, o.batch_id, o.parent_id,
                o.priority, o.attempt, o.error_type, o.error_message
            FROM scheduling_job o WHERE o.tenant_id = w.tenant_id AND o.id = w.job_id OFFSET 0) j
        JOIN scheduling_queue q ON q.id = j.queue_id
        LEFT JOIN LATERAL (SELECT o.error_type, o.error_message FROM scheduling_execution o
            WHERE o.tenant_id = w.tenant_id AND o.id = w.execution_id OFFSET 0) x ON true
    WHERE w.place <= %(of_each)s AND j.kind <> ALL(%(kinds)s)
    ORDER BY w.id LIMIT %(told)s
)
SELECT (SELECT count(*) FROM walked), (SELECT id FROM walked ORDER BY id DESC LIMIT 1),
    (SELECT array_agg(ARRAY[w.tenant_id, w.id]) FROM wanted w WHERE w.place = %(of_each)s AND EXISTS (
        SELECT FROM wanted n WHERE n.tenant_id = w.tenant_id AND n.place = %(of_each)s + 1)), told.*
FROM (VALUES (1)) AS one LEFT JOIN told ON true ORDER BY told.id
"""


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """A job has ended or is tried again, with what is told of it; its error is that of the attempt."""

    id: UUID
    tenant_id: UUID
    job_id: UUID
    at: datetime
    state: str
    kind: str
    queue: str
    tags: Sequence[str]
    fair_key: str
    key: str | None
    batch_id: UUID | None
    parent_id: UUID | None
    priority: int
    attempt: int
    error_type: str
    error_message: str


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, how many were walked for them, and from where the next page goes on; None where there is none.

    ``cut`` has the tenants of which there was more than a page takes of one, each with the last event that it took.
    """

    events: Sequence[ToldEvent]
    walked: int
    last_id: UUID | None
    cut: Mapping[UUID, UUID]


def read_page(
    *,
    settled: int,
    until: int,
    first: UUID,
    tenant_ids: Collection[UUID],
    states: Collection[str],
    without_kinds: Collection[str],
) -> EventPage:
    """The next events from an id on that transactions from ``settled`` to before ``until`` wrote; by one statement.

    Of these tenants' jobs of other kinds, each where its job has come into one of the states; where there are several
    tenants, so that none fills the page alone, those among the first TOLD_OF_EACH of each.
    """
    values: dict[str, Any] = {
        "settled": settled,
        "until": until,
        "first": first,
        "tenants": list(tenant_ids),
        "states": list(states),
        "kinds": list(without_kinds),
        "walked": WALKED,
        "told": TOLD,
        "of_each": TOLD_OF_EACH if len(tenant_ids) > 1 else WALKED,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PAGE, values)
        rows = cursor.fetchall()
    walked, last_walked, cut, *_ = rows[0]
    events = [ToldEvent(*row[3:]) for row in rows if row[3] is not None]
    last_id = events[-1].id if len(events) == TOLD else last_walked if walked == WALKED else None
    return EventPage(events, walked, last_id, dict(cut or ()))
