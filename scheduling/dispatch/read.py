"""Reads for a pick: free slots, clocks, and the first entities of each queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from typing import Any
from uuid import UUID

from psycopg.rows import namedtuple_row

from scheduling.conf import LIST_JOBS, LIST_WORK_US, MAX_MESSAGE_JOBS, MERGE_BELOW_US, MESSAGE_WORK_US, TICK_JOBS
from scheduling.dispatch.pick import read_keys
from scheduling.dispatch.reserve import with_reserve
from scheduling.fairness.run_queue import rows_to_read
from scheduling.fairness.shares import KeyShare, MergeRule, PoolShare, QueueShare, TenantShare
from scheduling.models import CFSPlan
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all, prepared_cursor
from tenants.database.reads import from_row
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_POOL, _TENANTS_FAIR, _TENANTS_FIFO = _SQL["read_pool"], _SQL["read_tenants_fair"], _SQL["read_tenants_fifo"]
# More messages than any pool has slots.
UNCAPPED = 1 << 31
MERGING = MergeRule(MERGE_BELOW_US, MAX_MESSAGE_JOBS, MESSAGE_WORK_US, LIST_JOBS, LIST_WORK_US)


@dataclass(frozen=True, slots=True)
class PoolReading:
    """What a tick read of a pool. ``floors`` are the least virtual times by queue.

    ``rated`` are the queues with a rate. ``slice_us`` is the most that a dispatch is charged, or None without time
    slices. ``unread`` are keys whose jobs are not read, because reading of keys ended there. ``is_anybody_capped``:
    slots are free, and a tenant with jobs is at its cap. ``is_end_kept``: a message that ends still has its slot.
    ``has_memory_limits``: some tenant may have a limit of the memory that its jobs in flight need.
    """

    share: PoolShare
    slots: int
    in_flight: int
    queue_names: Mapping[int, str] = field(default_factory=dict)
    floors: Mapping[int, int] = field(default_factory=dict)
    unread: Collection[int] = ()
    slice_us: int | None = None
    rated: Collection[int] = ()
    is_anybody_capped: bool = False
    is_end_kept: bool = False
    has_memory_limits: bool = False


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
        """Return its start tag among the queues of its pool, whose clock is ``virtual_time``."""
        return self.vruntime if self.was_backlogged else max(self.vruntime, virtual_time)

    def share(self, tenants: Sequence[TenantShare], most: int, *, is_fifo: bool) -> QueueShare:
        """Return the queue for a pick, with its first ``most`` tenants or all that there are."""
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
    free: list[UUID] | None = None,
) -> PoolReading:
    """Return the pool's free capacity, its clocks, and the entities that may be picked from.

    It takes two statements, one more if jobs may share slots, and one more if tenants have keys.

    Of each queue at most as many entities are read as jobs may be picked from it, those of least virtual time, so
    nothing is lost. Usually that is the number of free slots. As many as a tick ever picks are read with ``is_wide``,
    because small jobs share slots or some entities yield nothing, and with reserved slots, for tenants below their due.

    ``freed`` slots count as free although they are not, to compute what would then be picked. Slots of messages with a
    token in ``ending`` are free, because their work is done, unless a cap or the reserve keeps their tenant or queue
    from reusing them. ``free``: read only these tenants; None: all.
    """
    has, queues = _read_pool(pool_id, ending, free)
    unused = has.slots - has.in_flight + freed
    full = PoolReading(PoolShare(has.virtual_time, 0, [], {}), has.slots, has.in_flight, is_end_kept=has.is_end_kept)
    if (room := max(0, min(unused, limit))) == 0:
        return full
    is_fifo, sees_the_least = has.is_fifo, not has.is_fifo and only_entities is None
    has_reserve = sees_the_least and has.reserved > 0
    depths = dict.fromkeys(queues, limit if has_reserve or is_wide else room)
    tenants = _read_tenants(depths, only_entities, has.slice_us, free, is_fifo=is_fifo)
    if wider := _filling_messages(depths, tenants, room, limit, virtual_time=has.virtual_time):
        depths |= wider
        tenants = tenants.and_more(_read_tenants(wider, only_entities, has.slice_us, free, is_fifo=is_fifo))
    shares = [queue.share(tenants.by_queue.get(queue.queue_id, []), n, is_fifo=is_fifo) for queue, n in depths.items()]
    most = max(depths.values(), default=room)
    share = PoolShare(has.virtual_time, room, shares, tenants.room, limit=most, merging=MERGING)
    if has_reserve:
        caps = {queue.queue_id: queue.cap for queue in queues}
        share = with_reserve(share, pool_id, slots=has.slots, free=unused, reserved=has.reserved, queue_caps=caps)
    share, unread = read_keys(share, tenants.own_lines, only_entities, is_fifo=is_fifo)
    return replace(
        full,
        share=share,
        queue_names={queue.queue_id: queue.name for queue in queues},
        floors=_floors(shares) if sees_the_least and free is None else {},
        unread=unread,
        slice_us=has.slice_us,
        rated=[queue.queue_id for queue in queues if queue.has_rate],
        is_anybody_capped=has.is_anybody_capped,
        has_memory_limits=has.has_memory_limits,
    )


@dataclass(frozen=True, slots=True)
class _Capacity:
    """A pool's slots, and the active plan's rules for them."""

    slots: int
    in_flight: int
    strategy: str | None
    reserved: int
    slice_seconds: int | None
    virtual_time: int
    is_anybody_capped: bool
    is_end_kept: bool
    has_memory_limits: bool

    @property
    def is_fifo(self) -> bool:
        return self.strategy == CFSPlan.Strategy.NOP

    @property
    def slice_us(self) -> int | None:
        return None if self.slice_seconds is None else self.slice_seconds * 1_000_000


def _read_pool(pool_id: int, ending: Collection[UUID], free: list[UUID] | None) -> tuple[_Capacity, list[_QueueRow]]:
    with prepared_cursor(namedtuple_row) as cursor:
        values: dict[str, Any] = {
            "pool_id": pool_id,
            "lease_seconds": platform_settings.LEASE_SECONDS,
            "ending": list(ending),
            "free": free,
        }
        cursor.execute(_POOL, values)
        rows = cursor.fetchall()
    return _capacity_of(rows[0]), [from_row(_QueueRow, row) for row in rows if row.queue_id is not None]


def _capacity_of(row: Any) -> _Capacity:
    return _Capacity(
        slots=row.slots,
        in_flight=row.used_slots,
        strategy=row.strategy,
        reserved=row.reserved_slots,
        slice_seconds=row.slice_seconds,
        virtual_time=row.pool_virtual_time,
        is_anybody_capped=row.is_anybody_capped,
        is_end_kept=row.is_end_kept,
        has_memory_limits=row.has_memory_limits,
    )


def _floors(shares: Sequence[QueueShare]) -> dict[int, int]:
    return {share.queue_id: min(tenant.vruntime for tenant in share.tenants) for share in shares if share.tenants}


def rows_wanted(reading: PoolReading) -> dict[int, int]:
    """Return how many ready jobs of each fair-share node the pick needs; keys in ``unread`` are left out."""
    return {id_: count for id_, count in rows_to_read(reading.share).items() if id_ not in reading.unread}


@dataclass(frozen=True, slots=True)
class _Tenants:
    """Tenants by queue, their room in messages, and, for tenants with keys, the line of their jobs without one."""

    by_queue: dict[int, list[TenantShare]]
    room: dict[UUID, int]
    own_lines: dict[int, KeyShare | None]

    def least_estimate_us(self, queue_id: int) -> int:
        """Return the least estimate of the next jobs of the queue's tenants, of which there must be one."""
        return min(tenant.estimate_us for tenant in self.by_queue[queue_id])

    def and_more(self, wider: _Tenants) -> _Tenants:
        """Return these tenants, with the queues that were read again, and deeper, replaced."""
        return _Tenants(
            {**self.by_queue, **wider.by_queue}, {**self.room, **wider.room}, {**self.own_lines, **wider.own_lines}
        )


def _filling_messages(
    depths: Mapping[_QueueRow, int], tenants: _Tenants, room: int, limit: int, *, virtual_time: int
) -> dict[_QueueRow, int]:
    """Return the queues to read again, and deeper, because their jobs may share slots.

    They are those that get one of the next ``room`` messages. The depth is the number of tenants that fill these
    messages, plus one that shows that they are full; queues already read so deep are left out.
    """
    there = [queue for queue in depths if queue.queue_id in tenants.by_queue]
    wider = {}
    for queue in nsmallest(room, there, key=lambda queue: queue.start_tag(virtual_time)):
        most = MERGING.most_jobs(tenants.least_estimate_us(queue.queue_id))
        depth = min(limit, room * most + 1)
        if most > 1 and depth > depths[queue]:
            wider[queue] = depth
    return wider


def _read_tenants(
    depths: Mapping[_QueueRow, int],
    only_entities: Collection[int] | None,
    slice_us: int | None,
    free: list[UUID] | None,
    *,
    is_fifo: bool,
) -> _Tenants:
    """Return the first tenants of each queue, as many as its depth."""
    found = _Tenants(defaultdict(list), {}, {})
    values = {
        "queue_ids": [queue.queue_id for queue in depths],
        "floors": [queue.floor for queue in depths],
        "limits": list(depths.values()),
        "only": None if only_entities is None else list(only_entities),
        "slice_us": slice_us,
        "free": free,
    }
    for row in fetch_all(_TENANTS_FIFO if is_fifo else _TENANTS_FAIR, values):
        found.by_queue[row.queue_id].append(_tenant_of(row))
        found.room[row.tenant_id] = row.room
        if row.keys_waiting > 0:
            found.own_lines[row.entity_id] = None if row.own_rank is None else _own_line_of(row)
    return found


def _tenant_of(row: Any) -> TenantShare:
    return TenantShare(
        entity_id=row.entity_id,
        tenant_id=row.tenant_id,
        weight_milli=row.weight_milli,
        vruntime=row.vruntime,
        in_flight=row.in_flight,
        head_rank=row.head_rank,
        waiting=row.waiting,
        estimate_us=row.estimate_us,
        own_vruntime=row.own_vruntime,
        virtual_time=row.virtual_time,
    )


def _own_line_of(row: Any) -> KeyShare:
    """Return the line of a tenant's jobs without a key."""
    return KeyShare(
        entity_id=row.entity_id,
        vruntime=row.own_vruntime,
        in_flight=row.own_in_flight,
        head_rank=row.own_rank,
        waiting=row.own_waiting,
        estimate_us=row.estimate_us,
    )
