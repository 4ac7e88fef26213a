"""Writing the dispatcher's counters anew from what they count."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

from scheduling.models import WorkerPool
from scheduling.services.dispatching.tick import STOP_TICKS
from scheduling.services.wakes import wake_tenants

# What no tick has folded yet is counted in the news, and comes on top when it is.
_LINES = """
WITH line AS (
    SELECT id FROM scheduling_schedulingentity WHERE tenant_id = %(tenant_id)s
), counted AS (
    SELECT entity_id, sum(jobs) AS jobs FROM (
        SELECT entity_id, count(*) AS jobs FROM scheduling_job_ready
            WHERE entity_id IN (SELECT id FROM line) GROUP BY 1
        UNION ALL SELECT entity_id, count(*) FROM scheduling_job_due
            WHERE entity_id IN (SELECT id FROM line) GROUP BY 1
        UNION ALL SELECT entity_id, count(*) FROM scheduling_job_held
            WHERE entity_id IN (SELECT id FROM line) GROUP BY 1
    ) AS places GROUP BY 1
), news AS (
    SELECT entity_id, sum(waiting_delta) AS jobs FROM scheduling_wake WHERE tenant_id = %(tenant_id)s GROUP BY 1
), flying AS (
    SELECT entity_id, count(DISTINCT message_id) AS messages FROM (
        SELECT entity_id, message_id FROM scheduling_execution_live WHERE tenant_id = %(tenant_id)s
        UNION ALL SELECT entity_id, message_id FROM scheduling_settled WHERE tenant_id = %(tenant_id)s
    ) AS executions GROUP BY 1
)
UPDATE scheduling_schedulingentity e
SET waiting = coalesce(c.jobs, 0) - coalesce(n.jobs, 0), in_flight = coalesce(f.messages, 0)
FROM line LEFT JOIN counted c ON c.entity_id = line.id LEFT JOIN news n ON n.entity_id = line.id
    LEFT JOIN flying f ON f.entity_id = line.id
WHERE e.id = line.id
"""
_KEYS = """
UPDATE scheduling_schedulingentity e
SET keys_waiting = coalesce(k.waiting, 0), keys_in_flight = coalesce(k.in_flight, 0)
FROM scheduling_schedulingentity o LEFT JOIN (
    SELECT parent_id, sum(waiting) AS waiting, sum(in_flight) AS in_flight FROM scheduling_schedulingentity
    WHERE tenant_id = %(tenant_id)s AND parent_id IS NOT NULL GROUP BY 1
) k ON k.parent_id = o.id
WHERE e.id = o.id AND o.tenant_id = %(tenant_id)s AND o.parent_id IS NULL
"""
_CAPACITY = """
INSERT INTO scheduling_tenant_capacity (tenant_id, in_flight)
SELECT %(tenant_id)s, count(DISTINCT message_id) FROM (
    SELECT message_id FROM scheduling_execution_live WHERE tenant_id = %(tenant_id)s
    UNION ALL SELECT message_id FROM scheduling_settled WHERE tenant_id = %(tenant_id)s
) AS executions
ON CONFLICT (tenant_id) DO UPDATE SET in_flight = excluded.in_flight
"""


def recount(tenant_id: UUID) -> None:
    """Write all counters of a tenant anew, and wake it. Behind the door.

    Only ticks write them, so ticks wait until this is committed; each statement then sees what the last one left.
    """
    pools = list(WorkerPool.objects.order_by("pk").values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(STOP_TICKS, [pools])
        for statement in (_LINES, _KEYS, _CAPACITY):
            cursor.execute(statement, {"tenant_id": tenant_id})
    wake_tenants(tenant_ids=[tenant_id])
