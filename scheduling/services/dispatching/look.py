"""A tick's first statement: it takes the pool's lock and looks what there is to do."""

from __future__ import annotations

from dataclasses import dataclass

from scheduling.services.dispatching.gates import HOLDS_JOBS
from scheduling.services.dispatching.slice_charges import IS_USED
from scheduling.services.settlement import longest_us
from tenants.locks import LockClass
from tenants.prepared import prepared_cursor

# One question in the place of statements that mostly find nothing: the way to the server is most of an idle tick.
_LOOK = (
    """
SELECT <lock>,
    NOT EXISTS (SELECT FROM scheduling_pool_clock WHERE pool_id = %(pool_id)s
        AND ticked_at >= now() - interval '1 second' AND broker_away_at IS NULL),
    EXISTS (SELECT FROM scheduling_pool_clock WHERE pool_id = %(pool_id)s AND locked_tenants <> '{}'),
    EXISTS (SELECT FROM scheduling_job_due WHERE due_at <= now()),
    EXISTS (SELECT FROM scheduling_job_held),
    EXISTS (SELECT FROM scheduling_circuit_news)
        OR EXISTS (SELECT FROM scheduling_circuit_breaker c
            WHERE c.state = 'open' AND c.until <= now() AND <holds jobs>)
        OR EXISTS (SELECT FROM scheduling_circuit_breaker c
            WHERE c.state IN ('half_open', 'closing', 'forced_closed') AND (c.state = 'closing' OR <holds jobs>)),
    EXISTS (SELECT FROM scheduling_settled WHERE queue_id = ANY (<queues>)),
    EXISTS (SELECT FROM scheduling_wake WHERE queue_id = ANY (<queues>)),
    EXISTS (SELECT FROM scheduling_execution_live l WHERE l.pool_id = %(pool_id)s AND <is used>),
    -- A queue at a time: each of a pool with nothing to do would be looked for among all the lines of the others.
    EXISTS (SELECT FROM unnest(<queues>) AS q(id) CROSS JOIN LATERAL (
        SELECT FROM scheduling_schedulingentity e
        WHERE e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL ORDER BY e.vruntime LIMIT 1) AS runnable)
""".replace("<holds jobs>", HOLDS_JOBS)
    .replace("<is used>", IS_USED)
    .replace("<queues>", "ARRAY(SELECT id FROM scheduling_queue WHERE pool_id = %(pool_id)s)")
    .replace("<lock>", LockClass.TICK.attempt("%(pool_id)s"))
)
# Clocks are made here for a pool or queue that came without: a copied row would end every tick of all pools.
_SET_CLOCK = """
WITH of_queues AS (
    INSERT INTO scheduling_queue_clock (queue_id, vruntime, virtual_time, floor, was_backlogged)
    SELECT q.id, 0, 0, 0, false FROM scheduling_queue q
    WHERE q.pool_id = %(pool_id)s AND NOT EXISTS (SELECT FROM scheduling_queue_clock c WHERE c.queue_id = q.id)
    ON CONFLICT DO NOTHING
)
INSERT INTO scheduling_pool_clock (pool_id, virtual_time, ticked_at)
SELECT id, 0, now() FROM scheduling_workerpool WHERE id = %(pool_id)s
ON CONFLICT (pool_id) DO UPDATE SET ticked_at = now(), broker_away_at = NULL
"""


@dataclass(frozen=True, slots=True)
class News:
    """What a tick found to stage and to fold, and whether there was a tenant to pick before that.

    ``is_anybody_locked``: another transaction held a tenant's rows a moment ago.
    """

    is_anybody_locked: bool
    is_due: bool
    is_held: bool
    is_circuit: bool
    is_settled: bool
    is_woken: bool
    is_slice_used: bool
    is_anybody_runnable: bool

    @property
    def is_any(self) -> bool:
        """Whether there are wakes, or may be once the rest is folded, which appends some."""
        return self.is_due or self.is_held or self.is_circuit or self.is_settled or self.is_woken


def lead_pool(pool_id: int) -> News | None:
    """Take the pool's lock for this transaction, and look what there is to fold; None: another has it.

    What is committed after this look wakes another tick: of this dispatcher, or of one that finds the lock taken and
    leaves the wake for this one.
    """
    with prepared_cursor() as cursor:
        cursor.execute(_LOOK, {"pool_id": pool_id, "most_us": longest_us()})
        is_led, is_clock_old, *news = cursor.fetchone()
        if is_led and is_clock_old:
            cursor.execute(_SET_CLOCK, {"pool_id": pool_id})
    return News(*news) if is_led else None
