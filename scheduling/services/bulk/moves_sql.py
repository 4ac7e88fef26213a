"""The statements that move waiting jobs to other queues: look at them in the order of a key, move some of them."""

from __future__ import annotations

from scheduling.selectors.announced_kinds import UNKNOWN
from scheduling.services.dispatching.gates import MEMORY
from tenants.locks import LockClass, hash_of_tenant

WAITING = "SELECT coalesce(sum(waiting), 0)::bigint FROM scheduling_schedulingentity"
_OF_TENANT = "JOIN tenants_tenant t ON t.id = r.tenant_id JOIN tenants_plan p ON p.id = t.plan_id"
_LOOK_READY = """
SELECT r.job_id, r.kind, p.tier_id, e.queue_id, r.entity_id, r.rank, true FROM (
    SELECT * FROM scheduling_job_ready
    WHERE (entity_id, rank, job_id) > (%(after_entity)s, %(after_rank)s, %(after_job)s)
    ORDER BY entity_id, rank, job_id LIMIT %(limit)s
) r JOIN scheduling_schedulingentity e ON e.id = r.entity_id <its tenant>
ORDER BY r.entity_id, r.rank, r.job_id
"""
_LOOK_APART = """
SELECT r.job_id, r.kind, p.tier_id, e.queue_id, r.entity_id, r.rank, true FROM (
    SELECT * FROM <table> WHERE job_id > %(after_job)s ORDER BY job_id LIMIT %(limit)s
) r JOIN scheduling_schedulingentity e ON e.id = r.entity_id <its tenant>
ORDER BY r.job_id
"""
# No index knows a job's state, or every change of it would cost more: so the jobs are looked at in order of their ids,
# and the last of those that were seen is told too, as the place from which to go on.
_LOOK_SUSPENDED = """
WITH seen AS (
    SELECT id, tenant_id, queue_id, kind, rank, state FROM scheduling_job
    WHERE id > %(after_job)s ORDER BY id LIMIT %(limit)s
), last AS (
    SELECT id FROM seen ORDER BY id DESC LIMIT 1
)
SELECT r.id, r.kind, p.tier_id, r.queue_id, coalesce(e.id, 0), r.rank, r.state = 'suspended' AND e.id IS NOT NULL
FROM seen r LEFT JOIN scheduling_schedulingentity e
        ON e.tenant_id = r.tenant_id AND e.queue_id = r.queue_id AND e.parent_id IS NULL
    <its tenant>
WHERE r.state = 'suspended' OR r.id = (SELECT id FROM last)
ORDER BY r.id
"""
_WANTED = """
wanted AS (
    SELECT w.job_id, w.rank, w.entity_id, w.event_id, w.queue_id, e.tenant_id, e.fair_key, e.queue_id AS from_queue_id
    FROM unnest(%(job_ids)s::uuid[], %(entity_ids)s::bigint[], %(ranks)s::bigint[], %(queue_ids)s::bigint[],
            %(event_ids)s::uuid[]) AS w(job_id, entity_id, rank, queue_id, event_id)
        JOIN scheduling_schedulingentity e ON e.id = w.entity_id
)
"""
# As whoever puts jobs into the lines of keys does: so they are not removed while they are empty.
_HOLD_LINES = """
WITH <wanted>
SELECT <hold lines>
FROM (SELECT DISTINCT tenant_id FROM wanted WHERE fair_key <> '' ORDER BY 1) AS tenants
"""
# In one order, so that this and a submission that makes the same rows do not wait for each other in a ring.
_PUT_ENTITIES = """
WITH <wanted>
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, weight_milli, vruntime, is_runnable, in_flight, waiting,
    head_rank, estimate_us)
SELECT DISTINCT tenant_id, queue_id, 1000, 0, false, 0, 0, 0, 1000000 FROM wanted ORDER BY tenant_id, queue_id
ON CONFLICT DO NOTHING
"""
_PUT_KEY_LINES = """
WITH <wanted>
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, parent_id, fair_key, weight_milli, vruntime, is_runnable,
    in_flight, waiting, head_rank, estimate_us)
SELECT DISTINCT w.tenant_id, w.queue_id, n.id, w.fair_key, 1000, 0, false, 0, 0, 0, 1000000
FROM wanted w JOIN scheduling_schedulingentity n
    ON n.tenant_id = w.tenant_id AND n.queue_id = w.queue_id AND n.parent_id IS NULL
WHERE w.fair_key <> '' ORDER BY w.tenant_id, w.queue_id, w.fair_key
ON CONFLICT DO NOTHING
"""
_EVENT = """
event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT m.event_id, m.tenant_id, m.job_id, NULL, statement_timestamp(), 'job.moved', j.state, %(actor)s, '',
        jsonb_build_object('from', f.name, 'to', q.name, 'cause', %(cause)s::text)
    FROM moved m JOIN job j ON j.id = m.job_id JOIN scheduling_queue f ON f.id = m.from_queue_id
        JOIN scheduling_queue q ON q.id = m.queue_id
)
"""
_GATE = f""", gate = CASE WHEN r.gate LIKE '{MEMORY} %%' OR r.gate LIKE '{UNKNOWN} %%'
        THEN split_part(r.gate, ' ', 1) || ' ' || (SELECT q.pool_id FROM scheduling_queue q WHERE q.id = c.queue_id)
        ELSE r.gate END"""  # noqa: S608 - constants
# The row changes its place and keeps all else. Whoever waited for its lock finds it elsewhere, and looks again.
_MOVE_WAITING = """
WITH <wanted>, chosen AS (
    SELECT w.*, n.id AS new_entity_id
    FROM <table> r JOIN wanted w ON r.entity_id = w.entity_id AND r.rank = w.rank AND r.job_id = w.job_id
        JOIN scheduling_schedulingentity n
            ON n.tenant_id = w.tenant_id AND n.queue_id = w.queue_id AND n.fair_key = w.fair_key
    FOR NO KEY UPDATE OF r SKIP LOCKED
), moved AS (
    UPDATE <table> r SET entity_id = c.new_entity_id<gate> FROM chosen c
    WHERE r.entity_id = c.entity_id AND r.rank = c.rank AND r.job_id = c.job_id
    RETURNING c.*
), job AS (
    UPDATE scheduling_job j SET queue_id = m.queue_id FROM moved m WHERE j.id = m.job_id RETURNING j.id, j.state
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, from_queue_id, -count(*) FROM moved GROUP BY 1, 2, 3
    UNION ALL SELECT tenant_id, new_entity_id, queue_id, count(*) FROM moved GROUP BY 1, 2, 3
), <event>
SELECT job_id FROM moved
"""
_MOVE_SUSPENDED = """
WITH <wanted>, chosen AS (
    SELECT w.* FROM scheduling_job j JOIN wanted w ON j.id = w.job_id
    WHERE j.state = 'suspended' AND j.queue_id = w.from_queue_id FOR NO KEY UPDATE OF j SKIP LOCKED
), job AS (
    UPDATE scheduling_job j SET queue_id = c.queue_id FROM chosen c WHERE j.id = c.job_id RETURNING j.id, j.state
), moved AS (
    SELECT c.* FROM chosen c JOIN job j ON j.id = c.job_id
), <event>
SELECT job_id FROM moved
"""


def _fill(statement: str, table: str = "") -> str:
    """The statement with the parts that it shares with others."""
    parts = {"<its tenant>": _OF_TENANT, "<wanted>": _WANTED, "<event>": _EVENT, "<table>": f"scheduling_job_{table}"}
    # What was held for its pool stands before the gate of its new pool, which may be open.
    parts["<hold lines>"] = LockClass.LINES.share(hash_of_tenant())
    parts["<gate>"] = _GATE if table == "held" else ""
    for name, part in parts.items():
        statement = statement.replace(name, part)
    return statement


LOOK = {
    "ready": _fill(_LOOK_READY),
    "due": _fill(_LOOK_APART, "due"),
    "held": _fill(_LOOK_APART, "held"),
    "suspended": _fill(_LOOK_SUSPENDED),
    "again": _fill(_LOOK_READY),
}
MOVE = {
    "ready": _fill(_MOVE_WAITING, "ready"),
    "due": _fill(_MOVE_WAITING, "due"),
    "held": _fill(_MOVE_WAITING, "held"),
    "suspended": _fill(_MOVE_SUSPENDED),
    "again": _fill(_MOVE_WAITING, "ready"),
}
# What must stand before jobs move: in this order, a statement each, so that one sees what the one before has made.
PUT_LINES = tuple(_fill(statement) for statement in (_HOLD_LINES, _PUT_ENTITIES, _PUT_KEY_LINES))
