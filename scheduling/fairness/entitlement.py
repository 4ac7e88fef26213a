"""Entitlement: the number of slots that the tree's weights give each tenant, computed by water-filling.

The console's panel, the demo and the benchmarks use the same function.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

# A remainder below this many slots is rounding, and is not shared again.
EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class TenantDemand[Id: Hashable]:
    """A tenant that has waiting or running jobs in a queue, and uses at most ``wants`` slots there.

    ``cap`` is its cap over all queues.
    """

    tenant_id: Id
    weight: float
    cap: float
    wants: float = inf


@dataclass(frozen=True, slots=True)
class QueueDemand[Id: Hashable]:
    """A queue with the tenants that have work in it; ``cap`` is the cap of the queue."""

    queue_id: int
    weight: float
    cap: float
    tenants: Sequence[TenantDemand[Id]]


def water_fill(amount: float, weights: Sequence[float], caps: Sequence[float]) -> list[float]:
    """Split ``amount`` by ``weights``; what a cap cuts off is shared again among the others."""
    shares = [0.0] * len(weights)
    open_indexes = {index for index, cap in enumerate(caps) if cap > 0 and weights[index] > 0}
    left = amount
    while open_indexes and left > EPSILON:
        level = left / sum(weights[index] for index in open_indexes)
        full = {index for index in open_indexes if shares[index] + level * weights[index] >= caps[index] - EPSILON}
        for index in full or open_indexes:
            grown = caps[index] if full else shares[index] + level * weights[index]
            left -= grown - shares[index]
            shares[index] = grown
        if not full:
            break
        open_indexes -= full
    return shares


def entitlements[Id: Hashable](slots: float, queues: Sequence[QueueDemand[Id]]) -> dict[tuple[int, Id], float]:
    """Return the slots of a pool that each (queue, tenant) with work is entitled to.

    A tenant in several queues shares its one cap among them in the proportion that the tree gives it there, so that its
    sum stays within the cap.
    """
    caps = {
        (queue.queue_id, tenant.tenant_id): min(tenant.cap, tenant.wants)
        for queue in queues
        for tenant in queue.tenants
    }
    shares: dict[tuple[int, Id], float] = {}
    # Each round cuts the tenants above their cap; two queues a tenant settle in two rounds, and no tenant is in more
    # queues than there are.
    for _ in range(len(queues) + 1):
        shares = _fill_tree(slots, queues, caps)
        if not _cut_to_caps(shares, queues, caps):
            break
    return shares


def _fill_tree[Id: Hashable](
    slots: float, queues: Sequence[QueueDemand[Id]], caps: Mapping[tuple[int, Id], float]
) -> dict[tuple[int, Id], float]:
    queue_caps = [
        min(queue.cap, sum(caps[queue.queue_id, tenant.tenant_id] for tenant in queue.tenants)) for queue in queues
    ]
    queue_slots = water_fill(slots, [queue.weight for queue in queues], queue_caps)
    return {
        (queue.queue_id, tenant.tenant_id): share
        for queue, given in zip(queues, queue_slots, strict=True)
        for tenant, share in zip(
            queue.tenants,
            water_fill(
                given,
                [tenant.weight for tenant in queue.tenants],
                [caps[queue.queue_id, tenant.tenant_id] for tenant in queue.tenants],
            ),
            strict=True,
        )
    }


def _cut_to_caps[Id: Hashable](
    shares: Mapping[tuple[int, Id], float],
    queues: Sequence[QueueDemand[Id]],
    caps: dict[tuple[int, Id], float],
) -> bool:
    """Lower the caps of tenants whose sum exceeds their one cap; return whether any was lowered."""
    totals: dict[Id, float] = {}
    for (_, tenant_id), share in shares.items():
        totals[tenant_id] = totals.get(tenant_id, 0.0) + share
    was_cut = False
    for queue in queues:
        for tenant in queue.tenants:
            total = totals[tenant.tenant_id]
            if total > tenant.cap + EPSILON:
                key = (queue.queue_id, tenant.tenant_id)
                caps[key] = shares[key] * tenant.cap / total
                was_cut = True
    return was_cut


def jain_index(values: Sequence[float]) -> float:
    """Return Jain's fairness index of shares divided by entitlements: 1.0 if all values are equal.

    R. Jain, D. Chiu, W. Hawe, DEC-TR-301 (1984).
    """
    squares = sum(value * value for value in values)
    return 1.0 if squares == 0 else sum(values) ** 2 / (len(values) * squares)
