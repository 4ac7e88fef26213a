"""Time slices: once a second, ask for the slots of those whose turn is over because somebody else's has come.

Decided from load, beside the ticks and like them: under a lock of the pool's, from what the database knows now.
What is not worth asking for any more is taken back, so that a request never outlives its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from scheduling import signals
from scheduling.fairness.run_queue import ReadSupply
from scheduling.fairness.shares import KeyShare, TenantShare
from scheduling.fairness.slices import Running, choose_yields
from scheduling.models import CFSPlan
from scheduling.processors import registry
from scheduling.services.dispatching.rates import limit_rates, tokens
from scheduling.services.dispatching.read import read_pool, rows_wanted
from scheduling.services.dispatching.rows import read_rows
from scheduling.services.dispatching.worker_time import HAS_WORKER_TIME
from scheduling.services.leadership import lead
from tenants.context import all_tenants
from tenants.locks import LockClass
from tenants.prepared import prepared_cursor

# In flight there is as much as there are slots: no index is worth its upkeep.
_POOLS = """
SELECT DISTINCT l.pool_id FROM scheduling_execution_live l LEFT JOIN scheduling_cfsplan p
    ON p.is_active AND p.strategy = %s AND l.started_at < now() - make_interval(secs => p.granularity_seconds)
WHERE p.id IS NOT NULL OR l.yield_requested_at IS NOT NULL
ORDER BY 1
"""
# Whoever could not come back is not asked: a pause lets what runs end. A draining worker's slot goes to nobody, and
# one that others of its message wait for is not freed by one of them.
_RUNNING = """
SELECT e.id, e.tenant_id, e.weight_milli, e.vruntime, e.in_flight + e.keys_in_flight, e.head_rank,
    e.waiting + e.keys_waiting, e.estimate_us, e.own_vruntime, e.virtual_time,
    line.id, CASE WHEN line.parent_id IS NULL THEN line.own_vruntime ELSE line.vruntime END, line.in_flight,
    coalesce(CASE WHEN line.parent_id IS NULL THEN line.own_rank END, line.head_rank), line.waiting, line.estimate_us,
    l.id, l.queue_id, j.rank, l.weight_milli, l.queue_weight_milli, l.predicted_us,
    (extract(epoch FROM clock_timestamp() - l.started_at) * 1000000)::bigint,
    l.started_at < now() - make_interval(secs => plan.granularity_seconds) AND w.status = 'online'
        AND count(*) OVER (PARTITION BY l.message_id) = 1
        AND t.status = 'active' AND NOT t.is_paused AND <has worker time>
        AND NOT EXISTS (SELECT FROM scheduling_kindpause k WHERE k.kind = l.kind),
    l.yield_requested_at IS NOT NULL
FROM scheduling_execution_live l
    JOIN scheduling_cfsplan plan ON plan.is_active AND plan.strategy = %(strategy)s
    JOIN scheduling_job j ON j.id = l.job_id
    JOIN scheduling_schedulingentity line ON line.id = l.entity_id
    JOIN scheduling_schedulingentity e ON e.id = coalesce(line.parent_id, line.id)
    JOIN scheduling_worker w ON w.id = l.worker_id
    JOIN tenants_tenant t ON t.id = l.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
WHERE l.pool_id = %(pool_id)s AND l.started_at IS NOT NULL
""".replace("<has worker time>", HAS_WORKER_TIME)
# Workers renew leases on the same rows: whose row is held by one waits for the next look, so nobody waits for
# anybody here.
_ASK = """
WITH changed AS (
    SELECT l.id, l.id = ANY(%(execution_ids)s::uuid[]) AS is_asked FROM scheduling_execution_live l
    WHERE l.pool_id = %(pool_id)s
        AND (l.id = ANY(%(execution_ids)s::uuid[])) <> (l.yield_requested_at IS NOT NULL)
    ORDER BY l.id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE scheduling_execution_live l SET yield_requested_at = CASE WHEN c.is_asked THEN now() END
FROM changed c WHERE l.id = c.id
RETURNING c.is_asked
"""


def ask_for_slices() -> None:
    """A duty: decide for each pool in which a slice is used, or was asked for."""
    with all_tenants(), prepared_cursor() as cursor:
        cursor.execute(_POOLS, [CFSPlan.Strategy.TIME_SLICE])
        pool_ids = [pool_id for (pool_id,) in cursor.fetchall()]
    for pool_id in pool_ids:
        ask_in_pool(pool_id)


def ask_in_pool(pool_id: int) -> None:
    """Decide anew who is asked to yield in a pool; one process at a time."""
    # Plug-ins are imported before the transaction, which must not be idle for long.
    registry.memory_needs()
    with all_tenants():
        if not lead(LockClass.SLICES, pool_id):
            return
        changes = _ask(pool_id, _choose(pool_id))
    if changes:
        signals.yields_decided.send(None, asked=sum(changes), withdrawn=len(changes) - sum(changes))


def _choose(pool_id: int) -> Sequence[UUID]:
    running = _read_running(pool_id)
    used = sum(one.is_used for one in running)
    if not used:
        return []
    reading, rates = limit_rates(read_pool(pool_id, freed=used))
    # A slot that is given back grants no token: where none is left, nobody could start in its place.
    spent = {queue_id for queue_id, rate in rates.items() if not tokens(rate, 1)}
    share = replace(reading.share, queues=[queue for queue in reading.share.queues if queue.queue_id not in spent])
    reading = replace(reading, share=share)
    # Jobs that may not start are no reason: of whom they hide the rest, no more is read than was seen.
    rows = read_rows(rows_wanted(reading), slice_us=reading.slice_us).rows
    # While one is settled, another may be on its way to its slot.
    free = max(0, reading.slots - reading.in_flight)
    return choose_yields(reading.share, ReadSupply(rows), running, free=free)


def _read_running(pool_id: int) -> list[Running]:
    """What runs in the pool; nothing where the active plan slices no time."""
    with prepared_cursor() as cursor:
        cursor.execute(_RUNNING, {"pool_id": pool_id, "strategy": CFSPlan.Strategy.TIME_SLICE})
        return [Running(TenantShare(*row[:10]), KeyShare(*row[10:16]), *row[16:]) for row in cursor.fetchall()]


def _ask(pool_id: int, execution_ids: Sequence[UUID]) -> list[bool]:
    """Make the requests those of ``execution_ids``: True for each new one, False for each that was taken back."""
    with prepared_cursor() as cursor:
        cursor.execute(_ASK, {"pool_id": pool_id, "execution_ids": list(execution_ids)})
        return [is_asked for (is_asked,) in cursor.fetchall()]
