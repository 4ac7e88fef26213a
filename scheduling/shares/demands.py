"""Which tenants want slots in each queue now, and the greatest entitlements that the fair-share tree gives them.

Up to DEMAND_LIMIT tenants are read at once and computed one by one. Beyond that, tenants that only wait are counted by
queue, weight and cap, one window of the table at a time, so that no step delays the ticks for long. Tenants with equal
weight and cap get equal slots, so the counted group is computed as one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from uuid import UUID

from psycopg.rows import class_row

from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements
from scheduling.fairness.nodes import MILLI, UNITS_PER_MICROSECOND
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all
from tenants.database.reads import from_row
from tenants.database.sql import load_sql

DEMAND_LIMIT = 5_000
# Rows of the table that one step reads.
WINDOW_ROWS = 10_000

_SQL = load_sql(__file__)
_SLOTS, _QUEUES = _SQL["count_slots"], _SQL["read_queues"]
_DEMANDS, _WINDOW = _SQL["read_demands"], _SQL["read_window"]


@dataclass(frozen=True, slots=True)
class DemandClass:
    """``count`` tenants in one queue that have the same weight and cap, and want slots, each at most ``wants``.

    ``served`` is the sum of weight times virtual time over them; ``members`` are the first of them, with their virtual
    times.
    """

    queue_id: int
    weight_milli: int
    cap: int
    is_backlogged: bool
    count: int
    served: int
    members: list[tuple[UUID, int]]
    wants: float = inf


@dataclass(slots=True)
class _Class:
    """Tenants of one queue, weight and cap while the windows are counted."""

    members: list[tuple[UUID, int]]
    count: int = 0
    vruntimes: int = 0

    def add(self, tenant_id: UUID, vruntime: int, most: int) -> None:
        self.count += 1
        self.vruntimes += vruntime
        if len(self.members) < most:
            self.members.append((tenant_id, vruntime))

    def leave_out(self, tenant_ids: Collection[UUID]) -> None:
        """Remove tenants that began to run after a window had counted them."""
        for tenant_id, vruntime in self.members:
            if tenant_id in tenant_ids:
                self.count -= 1
                self.vruntimes -= vruntime
        self.members = [member for member in self.members if member[0] not in tenant_ids]

    def demand(self, queue_id: int, weight_milli: int, cap: int) -> DemandClass:
        return DemandClass(
            queue_id,
            weight_milli,
            cap,
            is_backlogged=True,
            count=self.count,
            served=weight_milli * self.vruntimes,
            members=self.members,
        )


@dataclass(frozen=True, slots=True)
class EntitledTenant:
    """Slots that a tenant is entitled to in a queue and, if it has a backlog, how far it is behind its ideal share."""

    queue_id: int
    tenant_id: UUID
    slots: float
    is_backlogged: bool
    lag_us: int | None


@dataclass(frozen=True, slots=True)
class OpenQueue:
    """A queue that is not paused, with the weight that the active plan gives it."""

    queue_id: int
    pool_id: int
    weight: int
    cap: int | None


class DemandCount:
    """Count of the tenants that want slots now. With very many tenants it is made window by window."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._after: int | None = 0
        self._classes: dict[tuple[int, int, int], _Class] = {}
        self._demands = _read_tenants(DEMAND_LIMIT + 1)
        self.is_over = len(self._demands) <= DEMAND_LIMIT

    def count_on(self) -> None:
        """Count the tenants in the next window of the table."""
        rows = fetch_all(_WINDOW, {"after": self._after, "limit": WINDOW_ROWS})
        self._after = rows[0].last_id
        if self._after is None:
            self._end()
            return
        for row in rows:
            if row.queue_id is not None:
                counted = self._classes.setdefault((row.queue_id, row.weight_milli, row.cap), _Class([]))
                counted.add(row.tenant_id, row.vruntime, self._most)

    def _end(self) -> None:
        self.is_over = True
        self._demands = _read_tenants(0)
        running: dict[int, set[UUID]] = defaultdict(set)
        for demand in self._demands:
            running[demand.queue_id].add(demand.members[0][0])
        for key, found in self._classes.items():
            found.leave_out(running[key[0]])
            if found.count:
                self._demands.append(found.demand(*key))

    def greatest(self) -> list[EntitledTenant]:
        """Return the greatest entitlements over all pools, at most as many as allowed.

        Call it only when ``is_over`` is true.
        """
        ideals = _ideals(self._demands)
        ranked = sorted(_share_out(self._demands), key=lambda row: (-row[1], row[0].queue_id, row[0].members[:1]))
        entitled = (
            _entitled(demand, tenant_id, vruntime, slots, ideals)
            for demand, slots in ranked
            for tenant_id, vruntime in demand.members
        )
        return list(islice(entitled, self._most))


def _entitled(
    demand: DemandClass, tenant_id: UUID, vruntime: int, slots: float, ideals: Mapping[int, tuple[int, int]]
) -> EntitledTenant:
    lag_us = None
    if demand.is_backlogged:
        served, weights = ideals[demand.queue_id]
        # The mean stays a fraction of integers: a float would lose microseconds of a virtual time.
        lag_us = demand.weight_milli * (served - vruntime * weights) // (weights * UNITS_PER_MICROSECOND * MILLI)
    return EntitledTenant(demand.queue_id, tenant_id, slots, demand.is_backlogged, lag_us)


def _ideals(demands: Iterable[DemandClass]) -> dict[int, tuple[int, int]]:
    """Return for each queue two sums over its backlogged tenants: weight times virtual time, and weight."""
    ideals: dict[int, tuple[int, int]] = {}
    for demand in demands:
        if demand.is_backlogged:
            served, weights = ideals.get(demand.queue_id, (0, 0))
            ideals[demand.queue_id] = served + demand.served, weights + demand.count * demand.weight_milli
    return ideals


def _share_out(demands: Sequence[DemandClass]) -> Iterator[tuple[DemandClass, float]]:
    """Yield each group of equal tenants with the slots that every one of them is entitled to, pool by pool."""
    slots_by_pool, queues = read_pools()
    wanting: dict[int, list[TenantDemand[UUID]]] = defaultdict(list)
    by_key: dict[tuple[int, UUID], DemandClass] = {}
    for number, row in enumerate(demands):
        # A class needs any unique id, but a tenant that is in several queues must have the same id in all.
        tenant_id = row.members[0][0] if row.count == len(row.members) == 1 else UUID(int=number)
        by_key[row.queue_id, tenant_id] = row
        # Water-filling gives n equal vessels as much as one that is n times as wide.
        weight, cap = row.count * row.weight_milli / 1000, row.count * row.cap
        wanting[row.queue_id].append(TenantDemand(tenant_id, weight, cap, row.count * row.wants))
    for pool_id, slots in slots_by_pool.items():
        of_pool = [
            QueueDemand(queue.queue_id, queue.weight, inf if queue.cap is None else queue.cap, wanting[queue.queue_id])
            for queue in queues
            if queue.pool_id == pool_id and wanting[queue.queue_id]
        ]
        for key, share in entitlements(slots, of_pool).items():
            yield by_key[key], share / by_key[key].count


def _read_tenants(limit: int) -> list[DemandClass]:
    """Return the tenants with jobs in flight, and at most ``limit`` of those that only wait."""
    return [
        from_row(
            DemandClass,
            row,
            count=1,
            served=row.weight_milli * row.vruntime,
            members=[(row.tenant_id, row.vruntime)],
        )
        for row in fetch_all(_DEMANDS, {"limit": limit})
    ]


def read_pools() -> tuple[dict[int, int], list[OpenQueue]]:
    """Return the slots of each pool by its id, and the queues; without those that are stopped."""
    values = {"lease_seconds": platform_settings.LEASE_SECONDS}
    slots = {row.pool_id: int(row.slots) for row in fetch_all(_SLOTS, values)}
    return slots, fetch_all(_QUEUES, row_factory=class_row(OpenQueue))
