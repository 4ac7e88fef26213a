"""What a pool's next tick has to come after, so that none comes that can start nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum, auto

from scheduling.services.dispatching.claim import Claim, count_messages
from scheduling.services.dispatching.read import PoolReading


class Awaited(Enum):
    """What may let a job start that cannot now, as far as the last tick saw."""

    ENDS = auto()
    """Every slot is taken: jobs that come change nothing until one is free."""
    JOBS = auto()
    """Slots are left, and nobody's cap, rate or reserve keeps anybody from them: an end changes nothing."""
    EITHER = auto()


def awaited_after(reading: PoolReading, claims: Sequence[Claim]) -> Awaited:
    """What is awaited in a pool that was read so, and of which this was claimed."""
    share = reading.share
    if len({claim.message_id for claim in claims}) >= share.room:
        return Awaited.ENDS
    if (
        reading.is_anybody_capped
        or share.reserved
        or _is_queue_full(reading, claims)
        or _is_tenant_full(reading, claims)
    ):
        return Awaited.EITHER
    return Awaited.JOBS


def _is_queue_full(reading: PoolReading, claims: Sequence[Claim]) -> bool:
    """Whether a queue has no room left by its cap or its rate."""
    taken = count_messages([claim.pick for claim in claims], lambda pick: pick.queue_id)
    return any(queue.room <= taken[queue.queue_id] for queue in reading.share.queues)


def _is_tenant_full(reading: PoolReading, claims: Sequence[Claim]) -> bool:
    """Whether a tenant has jobs left, but no room by its cap."""
    picks = [claim.pick for claim in claims]
    messages, jobs = count_messages(picks, lambda pick: pick.tenant_id), Counter(p.tenant_entity_id for p in picks)
    room = reading.share.tenant_room
    return any(
        messages[tenant.tenant_id] >= room[tenant.tenant_id] and jobs[tenant.entity_id] < tenant.waiting
        for queue in reading.share.queues
        for tenant in queue.tenants
    )
