"""What a pool's next tick has to come after, so that none comes that can start nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum, auto

from scheduling.dispatch.claim import Claim, count_messages
from scheduling.dispatch.read import PoolReading
from scheduling.fairness.shares import Pick


class Awaited(Enum):
    """What may let a job start that cannot now, as far as the last tick saw."""

    ENDS = auto()
    """Every slot is taken and somebody waits for one: jobs that come change nothing until one is free."""
    JOBS = auto()
    """Slots are left, and nobody's cap, rate or reserve keeps anybody from them: an end changes nothing."""
    EITHER = auto()


def awaited_after(reading: PoolReading, claims: Sequence[Claim]) -> Awaited:
    """What is awaited in a pool that was read so, and of which this was claimed."""
    if reading.share.room == 0:
        return Awaited.ENDS
    if is_every_slot_taken(reading, [claim.pick for claim in claims]):
        # Where nobody is left, the next end hands its slot to nobody, and then jobs are what is awaited.
        return Awaited.ENDS if _is_anybody_left(reading, claims) else Awaited.EITHER
    is_kept = reading.is_anybody_capped or reading.share.reserved > 0
    is_anybody_kept = is_kept or _is_queue_full(reading, claims) or _is_tenant_full(reading, claims)
    return Awaited.EITHER if is_anybody_kept else Awaited.JOBS


def is_every_slot_taken(reading: PoolReading, picks: Sequence[Pick]) -> bool:
    """Whether these use every free slot."""
    return len({pick.message for pick in picks}) >= reading.share.room


def _is_anybody_left(reading: PoolReading, claims: Sequence[Claim]) -> bool:
    """Whether there are jobs left of any that may be picked."""
    jobs = Counter(claim.pick.tenant_entity_id for claim in claims)
    return any(
        queue.has_more or any(jobs[tenant.entity_id] < tenant.waiting for tenant in queue.tenants)
        for queue in reading.share.queues
    )


def _is_queue_full(reading: PoolReading, claims: Sequence[Claim]) -> bool:
    """Whether a queue has no room left by its cap or its rate."""
    taken = count_messages([claim.pick for claim in claims], lambda pick: pick.queue_id)
    return any(queue.room <= taken[queue.queue_id] for queue in reading.share.queues)


def _is_tenant_full(reading: PoolReading, claims: Sequence[Claim]) -> bool:
    """Whether a tenant has jobs left, but no room by its cap."""
    picks = [claim.pick for claim in claims]
    messages = count_messages(picks, lambda pick: pick.tenant_id)
    jobs = Counter(pick.tenant_entity_id for pick in picks)
    room = reading.share.tenant_room
    return any(
        messages[tenant.tenant_id] >= room[tenant.tenant_id] and jobs[tenant.entity_id] < tenant.waiting
        for queue in reading.share.queues
        for tenant in queue.tenants
    )
