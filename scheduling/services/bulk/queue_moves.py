"""Move jobs that wait to other queues by hand, with the statements of a reroute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from scheduling import signals
from scheduling.services.bulk.moves_sql import MOVE, PUT_LINES
from scheduling.services.events import actor_label
from scheduling.services.wakes import wake_on_commit
from tenants.context import current_actor
from tenants.ids import uuid7s

# A suspended job waits in no line, and that of its key may be gone: its tenant's own stands for its queue.
_PLACES = """
SELECT j.id, e.id, j.rank, j.queue_id
FROM scheduling_job j JOIN scheduling_schedulingentity e ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id
    AND e.fair_key = CASE WHEN j.state = 'suspended' THEN '' ELSE j.fair_key END
WHERE j.id = ANY(%s::uuid[])
"""
_TABLES = ("ready", "due", "held", "suspended")


def move_jobs(targets: Mapping[UUID, int], *, reason: str) -> dict[UUID, int]:
    """Move waiting and suspended jobs of the scope to these queues; where the moved ones were before.

    A job that is there already, that somebody else has in hand or that no longer waits is not among them.
    """
    if not targets:
        return {}
    moved: set[UUID] = set()
    with connection.cursor() as cursor:
        cursor.execute(_PLACES, [list(targets)])
        places = [place for place in cursor.fetchall() if place[3] != targets[place[0]]]
        if not places:
            return {}
        parameters: dict[str, Any] = {
            "job_ids": [job_id for job_id, *_ in places],
            "entity_ids": [entity_id for _, entity_id, *_ in places],
            "ranks": [rank for _, _, rank, _ in places],
            "queue_ids": [targets[job_id] for job_id, *_ in places],
            "event_ids": uuid7s(len(places)),
            "cause": reason,
            "actor": actor_label(current_actor()),
        }
        for statement in PUT_LINES:
            cursor.execute(statement, parameters)
        for table in _TABLES:
            cursor.execute(MOVE[table], parameters)
            moved |= {job_id for (job_id,) in cursor.fetchall()}
    if moved:
        wake_on_commit()
        facts = {"event": "job.moved", "state": "", "count": len(moved)}
        transaction.on_commit(lambda: signals.waiting_jobs_moved.send(None, **facts))
    return {job_id: queue_id for job_id, _, _, queue_id in places if job_id in moved}
