"""Time slices: the choice of the jobs that shall yield their slot once their slice is used up.

The pick itself decides: if every used slice were returned now, charged for its run time, which jobs would the fair
order give the slots to? A job that would get its slot again continues; only if a waiting job would get it is a yield
requested. So no yield is requested while no job waits, and a job that yields does not get its slot straight back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from uuid import UUID

from scheduling.fairness.nodes import KEY_WEIGHT_MILLI, UNREAD, corrected
from scheduling.fairness.run_queue import JobSource, pick_fair
from scheduling.fairness.shares import KeyShare, PickResult, PoolShare, QueueShare, ReadyJob, TenantShare


@dataclass(frozen=True, slots=True)
class Running:
    """An execution that uses a slot; ``rank`` is that of its job, the weights are those at its dispatch.

    ``is_used``: it has run for its whole slice. ``is_requested``: a yield was requested. ``owner`` is its tenant in
    the queue, ``line`` its fair key there (or the tenant's jobs without one), both with the stored virtual times, which
    only contain its charge.
    """

    owner: TenantShare
    line: KeyShare
    execution_id: UUID
    queue_id: int
    rank: int
    weight_milli: int
    queue_weight_milli: int
    charged_us: int
    elapsed_us: int
    is_used: bool
    is_requested: bool

    def charge(self, vruntime: int, weight_milli: int) -> int:
        """Return the virtual time with the job's cost by now in place of its charge; this is computed, never stored.

        A job that returns its slice is charged its run time; one that continues, at least its charge.
        """
        cost_us = self.elapsed_us if self.is_used else max(self.elapsed_us, self.charged_us)
        return corrected(vruntime, predicted_us=self.charged_us, measured_us=cost_us, weight_milli=weight_milli)


class _ReturnedSupply:
    """A supply of returned jobs first, then of the waiting jobs that were read.

    Continuing costs what is left of the charge, so that in the end the charge is as without a request.
    """

    def __init__(self, given: Sequence[Running], waiting: JobSource) -> None:
        self._given: dict[int, list[ReadyJob]] = defaultdict(list)
        for one in given:
            left_us = max(0, one.charged_us - one.elapsed_us)
            self._given[one.line.entity_id].append(ReadyJob(one.execution_id, one.rank, "", left_us))
        self._waiting = waiting

    def jobs_of(self, line: TenantShare | KeyShare) -> Iterator[ReadyJob]:
        read = takewhile(lambda job: job is not UNREAD, self._waiting.jobs_of(line))
        return chain(self._given.get(line.entity_id, ()), read)


def choose_yields(pool: PoolShare, waiting: JobSource, running: Sequence[Running], *, free: int) -> list[UUID]:
    """Return the executions that should yield their slots, those furthest ahead of their fair share first.

    ``pool`` and ``waiting`` are the candidates for a slot, ``free`` is the number of free slots. Never more executions
    are returned than slots are needed by waiting jobs that find none free.
    """
    queue_ids = {queue.queue_id for queue in pool.queues}
    running = [one if one.queue_id in queue_ids else replace(one, is_used=False) for one in running]
    while True:
        given = sorted((one for one in running if one.is_used), key=lambda one: (one.is_requested, one.rank))
        back = _given_back(pool, running, given, free=free)
        result = pick_fair(back, _ReturnedSupply(given, waiting))
        starts, keeps = _sort_out(result, given)
        if not keeps:
            wanted = max(0, starts - max(0, free))
            return [one.execution_id for one in _furthest_ahead_first(given, back, result)[:wanted]]
        # A job that continues keeps its charge, so decide again about the others.
        running = [replace(one, is_used=one.is_used and one.execution_id not in keeps) for one in running]


def _sort_out(result: PickResult, given: Sequence[Running]) -> tuple[int, set[UUID]]:
    """Return how many slots would go to waiting jobs, and which executions would get their own again.

    An earlier request is kept, in place of another one, if all starting jobs precede the execution.
    """
    by_id: dict[UUID | None, Running] = {one.execution_id: one for one in given}
    turns = [by_id.get(pick.job.job_id) for pick in result.picks]
    starts = [turn for turn, one in enumerate(turns) if one is None]
    last = starts[-1] if starts else len(turns)
    return len({result.picks[turn].message for turn in starts}), {
        one.execution_id for turn, one in enumerate(turns) if one is not None and not (one.is_requested and turn > last)
    }


def _given_back(pool: PoolShare, running: Sequence[Running], given: Sequence[Running], *, free: int) -> PoolShare:
    """Return the pool as if every used slice had ended now and its job waited again."""
    by_queue: dict[int, list[Running]] = defaultdict(list)
    for one in running:
        by_queue[one.queue_id].append(one)
    # Jobs that run within a cap may continue, even if the cap was lowered since.
    tenant_room = Counter({tenant_id: max(0, left) for tenant_id, left in pool.tenant_room.items()})
    tenant_room.update(one.owner.tenant_id for one in given)
    return replace(
        pool,
        room=max(0, free + len(given)),
        limit=None if pool.limit is None else pool.limit + len(given),
        queues=[_queue_given_back(queue, by_queue[queue.queue_id]) for queue in pool.queues],
        tenant_room=tenant_room,
    )


def _queue_given_back(queue: QueueShare, running: Sequence[Running]) -> QueueShare:
    by_owner: dict[int, list[Running]] = defaultdict(list)
    vruntime = queue.vruntime
    for one in running:
        vruntime = one.charge(vruntime, one.queue_weight_milli)
        by_owner[one.owner.entity_id].append(one)
    tenants = {one.owner.entity_id: replace(one.owner, waiting=0) for one in running if one.is_used}
    tenants |= {tenant.entity_id: tenant for tenant in queue.tenants}
    returned = sum(one.is_used for one in running)
    given_back = [_tenant_given_back(tenant, by_owner[entity_id]) for entity_id, tenant in tenants.items()]
    return replace(
        queue,
        vruntime=vruntime,
        in_flight=queue.in_flight - returned,
        room=max(0, queue.room) + returned,
        tenants=given_back,
    )


def _tenant_given_back(tenant: TenantShare, running: Sequence[Running]) -> TenantShare:
    vruntime = tenant.vruntime
    lines = {line.entity_id: line for line in tenant.keys or [unkeyed_jobs(tenant)]}
    for one in running:
        vruntime = one.charge(vruntime, one.weight_milli)
        line = lines.get(one.line.entity_id) or replace(one.line, waiting=0)
        lines[line.entity_id] = replace(
            line,
            vruntime=one.charge(line.vruntime, KEY_WEIGHT_MILLI),
            in_flight=line.in_flight - one.is_used,
        )
    own = lines[tenant.entity_id] if list(lines) == [tenant.entity_id] else None
    return replace(
        tenant,
        vruntime=vruntime,
        in_flight=tenant.in_flight - sum(one.is_used for one in running),
        own_vruntime=own.vruntime if own else tenant.own_vruntime,
        keys=() if own else list(lines.values()),
    )


def unkeyed_jobs(tenant: TenantShare) -> KeyShare:
    """Return all jobs of a tenant without fair keys as one line."""
    return KeyShare(
        entity_id=tenant.entity_id,
        vruntime=tenant.own_vruntime,
        in_flight=tenant.in_flight,
        head_rank=tenant.head_rank,
        waiting=tenant.waiting,
        estimate_us=tenant.estimate_us,
    )


def _furthest_ahead_first(given_up: Sequence[Running], back: PoolShare, result: PickResult) -> list[Running]:
    """Return the executions with an earlier request, which is kept, then those furthest ahead.

    Order by how far queue and tenant are ahead; of one tenant the last job comes first.
    """
    vruntimes = {tenant.entity_id: tenant.vruntime for queue in back.queues for tenant in queue.tenants}
    vruntimes.update(result.vruntimes)

    def distance(one: Running) -> tuple[bool, int, int, int]:
        return (one.is_requested, result.queues[one.queue_id].vruntime, vruntimes[one.owner.entity_id], one.rank)

    return sorted(given_up, key=distance, reverse=True)
