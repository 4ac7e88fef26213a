"""Picks of jobs that may share messages, from pools that are given by their jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from scheduling.fairness.run_queue import ReadJobs, pick_fair
from scheduling.fairness.shares import (
    MergeRule,
    Pick,
    PickResult,
    PoolShare,
    QueueShare,
    ReadRows,
    ReadyJob,
    TenantShare,
)

RULE = MergeRule(below_us=20_000, jobs=4, total_us=60_000)
LISTS = replace(RULE, list_jobs=5, list_us=25_000)
BIG_US = 1_000_000
ROOMY = 10_000


def job(cost_us: int, kind: str = "noop", *, may_merge: bool = True) -> ReadyJob:
    return ReadyJob(None, 0, kind, cost_us, may_merge and cost_us < RULE.below_us)


def listed(cost_us: int, kind: str = "noop") -> ReadyJob:
    return ReadyJob(None, 0, kind, cost_us, may_list=True)


type Jobs = Mapping[int, Sequence[ReadyJob]]


def pool_of(queues: Sequence[Jobs], *, room: int, caps: Mapping[int, int] | None = None, **more: object) -> PoolShare:
    """Return a pool of queues with tenants and their jobs; equal numbers in two queues are one tenant."""
    shares = [
        QueueShare(
            queue_id=number,
            weight_milli=1_000,
            vruntime=0,
            virtual_time=0,
            was_backlogged=True,
            room=int(more.get("queue_room", ROOMY)),  # type: ignore[call-overload]
            is_fifo=False,
            tenants=[
                TenantShare(entity(number, tenant), UUID(int=tenant), 1_000 * (tenant + 1), 0, 0, 0, len(jobs), 1)
                for tenant, jobs in tenants.items()
            ],
        )
        for number, tenants in enumerate(queues)
    ]
    tenant_room = {UUID(int=tenant): (caps or {}).get(tenant, ROOMY) for tenants in queues for tenant in tenants}
    return PoolShare(
        *(0, room, shares, tenant_room),
        limit=int(more.get("limit", ROOMY)),  # type: ignore[call-overload]
        merging=more.get("rule", RULE),  # type: ignore[arg-type]
        reserved=int(more.get("reserved", 0)),  # type: ignore[call-overload]
    )


def entity(queue: int, tenant: int) -> int:
    return queue * 1_000 + tenant


def pick(queues: Sequence[Jobs], **options: object) -> PickResult:
    rows = {
        entity(number, tenant): ReadRows(ROOMY, jobs)
        for number, tenants in enumerate(queues)
        for tenant, jobs in tenants.items()
    }
    return pick_fair(pool_of(queues, **options), ReadJobs(rows))  # type: ignore[arg-type]


def tags(picks: Sequence[Pick]) -> dict[int, list[int]]:
    """Return the tenants' start tags in the order of the picks, by queue."""
    found: dict[int, list[int]] = defaultdict(list)
    for one in picks:
        found[one.queue_id].append(one.start_tag)
    return found


def messages_of(picks: Sequence[Pick]) -> list[list[Pick]]:
    found: dict[int, list[Pick]] = defaultdict(list)
    for one in picks:
        found[one.message].append(one)
    return list(found.values())
