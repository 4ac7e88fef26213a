"""Read what a pick decides upon: free slots, clocks, the first entities of each queue, their jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from heapq import nsmallest
from uuid import UUID

from scheduling.conf import MAX_MESSAGE_JOBS, MERGE_BELOW_US, MESSAGE_SECONDS, TICK_JOBS, lease_seconds
from scheduling.fairness.run_queue import rows_to_read
from scheduling.fairness.shares import KeyShare, MergeRule, PoolShare, QueueShare, TenantShare
from scheduling.models import CFSPlan
from scheduling.services.dispatching.keys import read_keys
from scheduling.services.dispatching.reserve import with_reserve
from scheduling.services.dispatching.weights import QUEUE_WEIGHT, TENANT_WEIGHT
from tenants.prepared import prepared_cursor

# More messages than any pool has slots.
UNCAPPED = 1 << 31
MERGING = MergeRule(MERGE_BELOW_US, MAX_MESSAGE_JOBS, int(MESSAGE_SECONDS * 1_000_000))

# A pool that is paused or drained has no slots. A draining worker's slots count neither as there nor as used. Of its
# queues there may be none. A message that is being settled, or whose settlement no tick has folded, holds no slot,
# unless somebody whose job it is can have no other until that is folded: its tenant is at its cap, or slots are kept
# for who has fewest; or, until it is settled, its queue is at its cap. What is settled is of no worker any more.
# What is in flight is read once: the table is small but lives fast, so that each look meets what has gone. OFFSET keeps
# a question about a tenant a probe of an index.
_POOL = """
WITH plan AS (
    SELECT strategy, reserved_slots, granularity_seconds FROM scheduling_cfsplan WHERE is_active
), live AS MATERIALIZED (
    SELECT message_id, tenant_id, queue_id, pool_id, worker_id,
        started_at IS NOT NULL AND token = ANY(%(ending)s::uuid[]) AS is_ending
    FROM scheduling_execution_live
), by_queue AS MATERIALIZED (
    SELECT queue_id, count(DISTINCT message_id) AS in_flight FROM live GROUP BY 1
), held AS (
    SELECT message_id, tenant_id, queue_id, worker_id, is_ending FROM live WHERE pool_id = %(pool_id)s
    UNION ALL
    SELECT s.message_id, s.tenant_id, s.queue_id, NULL, true
    FROM scheduling_settled s JOIN scheduling_queue q ON q.id = s.queue_id WHERE q.pool_id = %(pool_id)s
), used AS (
    SELECT count(DISTINCT l.message_id) AS slots
    FROM held l LEFT JOIN scheduling_worker w ON w.id = l.worker_id
    WHERE w.status IS DISTINCT FROM 'draining'
        AND NOT (l.is_ending
            AND NOT EXISTS (SELECT FROM plan WHERE reserved_slots > 0)
            AND NOT EXISTS (SELECT FROM scheduling_queue f JOIN by_queue b ON b.queue_id = f.id
                WHERE f.id = l.queue_id AND f.cap <= b.in_flight)
            AND NOT EXISTS (SELECT FROM scheduling_tenant_capacity c
                JOIN tenants_tenant t ON t.id = c.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
                WHERE c.tenant_id = l.tenant_id AND c.in_flight >= coalesce(t.max_concurrency, p.max_concurrency)
                OFFSET 0))
), there AS (
    SELECT coalesce(sum(w.slots), 0) AS slots FROM scheduling_worker w
    WHERE w.pool_id = %(pool_id)s AND w.status = 'online'
        AND w.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)
        AND NOT EXISTS (SELECT FROM scheduling_workerpool p WHERE p.id = w.pool_id AND (p.is_paused OR EXISTS (
            SELECT FROM scheduling_drain d WHERE d.scope = 'pool' AND d.name = p.name)))
)
SELECT there.slots, used.slots, plan.strategy, coalesce(plan.reserved_slots, 0),
    CASE WHEN plan.strategy = 'time_slice' THEN plan.granularity_seconds END,
    (SELECT virtual_time FROM scheduling_pool_clock WHERE pool_id = %(pool_id)s),
    queue.*
FROM there CROSS JOIN used LEFT JOIN plan ON true LEFT JOIN (
    SELECT q.id, q.name, <queue weight> AS weight, c.vruntime, c.virtual_time, c.floor, c.was_backlogged,
        q.cap, coalesce(b.in_flight, 0), q.dispatches_per_minute IS NOT NULL
    FROM scheduling_queue q JOIN scheduling_queue_clock c ON c.queue_id = q.id LEFT JOIN by_queue b ON b.queue_id = q.id
    WHERE q.pool_id = %(pool_id)s AND NOT q.is_paused
) AS queue ON true
ORDER BY queue.id
""".replace("<queue weight>", QUEUE_WEIGHT)
# Eligibility is the index's own condition, so nobody who must wait hides one who need not.
# A tenant's weight and cap are read as they are now: an edited plan holds for whoever waits, without a row written.
# `floor` keeps the scan clear of dead index entries left of the least virtual time.
_ENTITIES = """
SELECT e.queue_id, coalesce(t.max_concurrency, p.max_concurrency) - coalesce(c.in_flight, 0),
    e.in_flight, e.waiting, e.keys_waiting, e.own_rank,
    e.id, e.tenant_id, {weight}, e.vruntime, e.in_flight + e.keys_in_flight, e.head_rank,
    e.waiting + e.keys_waiting, least(e.estimate_us, %(slice_us)s::bigint), e.own_vruntime, e.virtual_time
FROM unnest(%(queue_ids)s::bigint[], %(floors)s::bigint[], %(limits)s::int[]) AS q(id, floor, most)
    CROSS JOIN LATERAL (
        SELECT * FROM scheduling_schedulingentity e
        WHERE e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL
          AND (%(only)s::bigint[] IS NULL OR e.id = ANY(%(only)s)) AND {order}
        LIMIT q.most
    ) e
    JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
    LEFT JOIN scheduling_tenant_capacity c ON c.tenant_id = e.tenant_id
"""
_FAIR_ORDER = "e.vruntime >= q.floor ORDER BY e.vruntime, e.in_flight + e.keys_in_flight, e.head_rank, e.id"
_FIFO_ORDER = "true ORDER BY e.head_rank, e.in_flight + e.keys_in_flight, e.id"


@dataclass(frozen=True, slots=True)
class PoolReading:
    """A pool as the tick found it. ``floors`` are the least virtual times seen by queue.

    ``rated`` are the queues with a rate. ``slice_us`` is the most that a hand-out is charged, None where no time is
    sliced. ``unread`` are the keys at which reading ended.
    """

    share: PoolShare
    slots: int
    in_flight: int
    queue_names: Mapping[int, str]
    floors: Mapping[int, int]
    unread: Collection[int] = ()
    slice_us: int | None = None
    rated: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class _QueueRow:
    queue_id: int
    name: str
    weight: int
    vruntime: int
    virtual_time: int
    floor: int
    was_backlogged: bool
    cap: int | None
    in_flight: int
    has_rate: bool

    def start_tag(self, virtual_time: int) -> int:
        """Where it stands among the queues of its pool, whose clock is ``virtual_time``."""
        return self.vruntime if self.was_backlogged else max(self.vruntime, virtual_time)

    def share(self, tenants: Sequence[TenantShare], most: int, *, is_fifo: bool) -> QueueShare:
        """As a pick sees it, with its first ``most`` tenants or all that there are."""
        return QueueShare(
            queue_id=self.queue_id,
            weight_milli=self.weight * 1_000,
            vruntime=self.vruntime,
            virtual_time=self.virtual_time,
            was_backlogged=self.was_backlogged,
            room=UNCAPPED if self.cap is None else self.cap - self.in_flight,
            is_fifo=is_fifo,
            tenants=tenants,
            in_flight=self.in_flight,
            has_more=len(tenants) >= most,
        )


def read_pool(
    pool_id: int,
    *,
    limit: int = TICK_JOBS,
    only_entities: Collection[int] | None = None,
    freed: int = 0,
    ending: Collection[UUID] = (),
    is_wide: bool = False,
) -> PoolReading:
    """Capacity, clocks and the entities that may be picked: two statements, one more each where small jobs may share
    slots and where tenants have keys.

    At most as many entities a queue are read as jobs may be picked of it: the k least start tags belong
    to the k entities of least virtual time, so nothing is lost. Of queues whose turn will hardly come that is no more
    than there are slots; if it comes all the same, and their small jobs share a slot, ``is_wide`` is asked for. Who is
    below its entitlement is told by no order, so where slots are reserved as many are read as a tick ever does, and
    where ``is_wide`` is asked for, since of some nothing can be taken. ``freed``
    slots count as free that are not: what would be picked if they were. Those of messages with a token of ``ending``
    are, their work is done, but where a cap or the reserve keeps whoever had them from having them again.
    """
    has, queues = _read_pool(pool_id, ending)
    free = has.slots - has.in_flight + freed
    room = max(0, min(free, limit))
    if room == 0:
        return PoolReading(PoolShare(has.virtual_time, 0, [], {}), has.slots, has.in_flight, {}, {})
    is_fifo, slice_us = has.is_fifo, has.slice_us
    sees_the_least = not is_fifo and only_entities is None
    has_reserve = sees_the_least and has.reserved > 0
    depths = dict.fromkeys(queues, limit if has_reserve or is_wide else room)
    tenants = _read_tenants(depths, only_entities, slice_us, is_fifo=is_fifo)
    if wider := _filling_messages(depths, tenants, room, limit, virtual_time=has.virtual_time):
        depths |= wider
        tenants = tenants.and_more(_read_tenants(wider, only_entities, slice_us, is_fifo=is_fifo))
    shares = [queue.share(tenants.by_queue.get(queue.queue_id, []), n, is_fifo=is_fifo) for queue, n in depths.items()]
    most = max(depths.values(), default=room)
    share = PoolShare(has.virtual_time, room, shares, tenants.room, limit=most, merging=MERGING)
    if has_reserve:
        caps = {queue.queue_id: queue.cap for queue in queues}
        share = with_reserve(share, pool_id, slots=has.slots, free=free, reserved=has.reserved, queue_caps=caps)
    share, unread = read_keys(share, tenants.own_lines, only_entities, is_fifo=is_fifo)
    return PoolReading(
        share=share,
        slots=has.slots,
        in_flight=has.in_flight,
        queue_names={queue.queue_id: queue.name for queue in queues},
        floors=_floors(shares) if sees_the_least else {},
        unread=unread,
        slice_us=slice_us,
        rated=[queue.queue_id for queue in queues if queue.has_rate],
    )


@dataclass(frozen=True, slots=True)
class _Capacity:
    """A pool's slots, and what the active plan says of them."""

    slots: int
    in_flight: int
    strategy: str | None
    reserved: int
    slice_seconds: int | None
    virtual_time: int

    @property
    def is_fifo(self) -> bool:
        return self.strategy == CFSPlan.Strategy.NOP

    @property
    def slice_us(self) -> int | None:
        return None if self.slice_seconds is None else self.slice_seconds * 1_000_000


def _read_pool(pool_id: int, ending: Collection[UUID]) -> tuple[_Capacity, list[_QueueRow]]:
    with prepared_cursor() as cursor:
        cursor.execute(_POOL, {"pool_id": pool_id, "lease_seconds": lease_seconds(), "ending": list(ending)})
        rows = cursor.fetchall()
    width = len(fields(_Capacity))
    return _Capacity(*rows[0][:width]), [_QueueRow(*row[width:]) for row in rows if row[width] is not None]


def _floors(shares: Sequence[QueueShare]) -> dict[int, int]:
    return {share.queue_id: min(tenant.vruntime for tenant in share.tenants) for share in shares if share.tenants}


def rows_wanted(reading: PoolReading) -> dict[int, int]:
    """How many ready jobs of each line the pick needs; none of a key at which reading ended."""
    return {id_: count for id_, count in rows_to_read(reading.share).items() if id_ not in reading.unread}


@dataclass(frozen=True, slots=True)
class _Tenants:
    """Tenants by queue, how many more messages each may have, and of each with keys the line of its jobs without."""

    by_queue: dict[int, list[TenantShare]]
    room: dict[UUID, int]
    own_lines: dict[int, KeyShare | None]

    def least_estimate_us(self, queue_id: int) -> int:
        """What the smallest of the queue's tenants' next jobs may cost; MERGE_BELOW_US where there is none."""
        return min((tenant.estimate_us for tenant in self.by_queue.get(queue_id, ())), default=MERGE_BELOW_US)

    def and_more(self, wider: _Tenants) -> _Tenants:
        """With what was read of some of the queues once more, and deeper."""
        return _Tenants(
            {**self.by_queue, **wider.by_queue}, {**self.room, **wider.room}, {**self.own_lines, **wider.own_lines}
        )


def _filling_messages(
    depths: Mapping[_QueueRow, int], tenants: _Tenants, room: int, limit: int, *, virtual_time: int
) -> dict[_QueueRow, int]:
    """Of the queues whose turn comes with the next ``room`` messages, those with small jobs, and how many tenants of
    each fill the messages, with one that tells that they are full; none that was read so deep.
    """
    there = [queue for queue in depths if queue.queue_id in tenants.by_queue]
    wider = {}
    for queue in nsmallest(room, there, key=lambda queue: queue.start_tag(virtual_time)):
        least_us = tenants.least_estimate_us(queue.queue_id)
        depth = min(limit, room * min(MAX_MESSAGE_JOBS, MERGING.total_us // max(1, least_us)) + 1)
        if least_us < MERGE_BELOW_US and depth > depths[queue]:
            wider[queue] = depth
    return wider


def _read_tenants(
    depths: Mapping[_QueueRow, int],
    only_entities: Collection[int] | None,
    slice_us: int | None,
    *,
    is_fifo: bool,
) -> _Tenants:
    """The first tenants of each queue, as many as it says."""
    found = _Tenants(defaultdict(list), {}, {})
    with prepared_cursor() as cursor:
        cursor.execute(
            _ENTITIES.format(order=_FIFO_ORDER if is_fifo else _FAIR_ORDER, weight=TENANT_WEIGHT),
            {
                "queue_ids": [queue.queue_id for queue in depths],
                "floors": [queue.floor for queue in depths],
                "limits": list(depths.values()),
                "only": None if only_entities is None else list(only_entities),
                "slice_us": slice_us,
            },
        )
        for queue_id, left, in_flight, waiting, keys_waiting, own_rank, *numbers in cursor.fetchall():
            tenant = TenantShare(*numbers)
            found.by_queue[queue_id].append(tenant)
            found.room[tenant.tenant_id] = left
            if keys_waiting > 0:
                own = (tenant.entity_id, tenant.own_vruntime, in_flight, own_rank, waiting, tenant.estimate_us)
                found.own_lines[tenant.entity_id] = None if own_rank is None else KeyShare(*own)
    return found
