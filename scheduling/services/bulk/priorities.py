"""Changing the priority of jobs that wait, and with it their place among their tenant's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connection
from psycopg.types.json import Jsonb

from scheduling.conf import ageing_seconds
from scheduling.services.events import actor_label
from scheduling.services.wakes import wake_on_commit
from tenants.context import current_actor
from tenants.ids import uuid7s

EVENT = "job.reprioritised"
# A waiting row is locked before its job's row, as everybody does; whoever holds it knows that the job stays. A row that
# has changed its place meanwhile is not found here, and is left for the next look.
_REPRIORITISE = """
WITH wanted AS (
    SELECT w.event_id, w.priority, j.id AS job_id, j.tenant_id, j.queue_id, j.rank, j.priority AS former,
        j.rank - (w.priority - j.priority)::bigint * %(ageing_us)s AS new_rank, e.id AS entity_id,
        j.state = 'suspended' AS is_suspended
    FROM unnest(%(job_ids)s::uuid[], %(priorities)s::int[], %(event_ids)s::uuid[]) AS w(job_id, priority, event_id)
        JOIN scheduling_job j ON j.id = w.job_id
        LEFT JOIN scheduling_schedulingentity e
            ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key
    WHERE j.priority <> w.priority
), ready AS (
    UPDATE scheduling_job_ready r SET rank = w.new_rank FROM wanted w
    WHERE r.entity_id = w.entity_id AND r.rank = w.rank AND r.job_id = w.job_id RETURNING r.job_id
), due AS (
    UPDATE scheduling_job_due d SET rank = w.new_rank FROM wanted w
    WHERE d.job_id = w.job_id AND d.entity_id = w.entity_id AND d.rank = w.rank RETURNING d.job_id
), held AS (
    UPDATE scheduling_job_held h SET rank = w.new_rank FROM wanted w
    WHERE h.job_id = w.job_id AND h.entity_id = w.entity_id AND h.rank = w.rank RETURNING h.job_id
), found AS (
    SELECT job_id, true AS is_waiting FROM ready UNION ALL SELECT job_id, true FROM due
    UNION ALL SELECT job_id, true FROM held UNION ALL SELECT job_id, false FROM wanted WHERE is_suspended
), job AS (
    UPDATE scheduling_job j SET priority = w.priority, rank = w.new_rank
    FROM found f JOIN wanted w USING (job_id)
    WHERE j.id = f.job_id AND j.priority = w.former AND (f.is_waiting OR j.state = 'suspended')
    RETURNING j.id, j.tenant_id, j.queue_id, j.state, w.entity_id, w.former, w.priority, w.event_id, f.is_waiting
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT DISTINCT tenant_id, entity_id, queue_id, 0 FROM job WHERE is_waiting
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, id, NULL, statement_timestamp(), %(event)s, state, %(actor)s, %(request_id)s,
        %(data)s::jsonb || jsonb_build_object('from', former, 'to', priority)
    FROM job
)
SELECT id, former FROM job
"""


def set_priorities(priorities: Mapping[UUID, int], *, reason: str) -> dict[UUID, int]:
    """Give waiting and suspended jobs of the scope these priorities, one statement; what the changed ones had before.

    A job that has its priority already, or that no longer waits, is not among them.
    """
    if not priorities:
        return {}
    actor = current_actor()
    values: dict[str, Any] = {
        "job_ids": list(priorities),
        "priorities": list(priorities.values()),
        "event_ids": uuid7s(len(priorities)),
        "ageing_us": int(ageing_seconds() * 1_000_000),
        "event": EVENT,
        "actor": actor_label(actor),
        "request_id": actor.request_id,
        "data": Jsonb({"reason": reason} if reason else {}),
    }
    with connection.cursor() as cursor:
        cursor.execute(_REPRIORITISE, values)
        formers = dict(cursor.fetchall())
    if formers:
        wake_on_commit()
    return formers
