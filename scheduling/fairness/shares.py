"""The frozen values at the boundary of the fair order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class TenantShare:
    """An eligible tenant in a queue.

    ``head_rank`` is the rank of its first ready job, ``waiting`` an upper bound of its ready
    jobs, ``estimate_us`` the predicted cost of its next job.
    """

    entity_id: int
    tenant_id: UUID
    weight_milli: int
    vruntime: int
    in_flight: int
    head_rank: int
    waiting: int
    estimate_us: int


@dataclass(frozen=True, slots=True)
class QueueShare:
    """A queue with its eligible tenants; ``room`` is how many more messages its cap allows."""

    queue_id: int
    weight_milli: int
    vruntime: int
    virtual_time: int
    was_backlogged: bool
    room: int
    is_fifo: bool
    tenants: Sequence[TenantShare]


@dataclass(frozen=True, slots=True)
class PoolShare:
    """A pool with its free slots and the queues that may be served.

    ``tenant_room`` says how many more messages each tenant may have over all pools.
    """

    virtual_time: int
    room: int
    queues: Sequence[QueueShare]
    tenant_room: Mapping[UUID, int]


@dataclass(frozen=True, slots=True)
class ReadyJob:
    """A job that may start, with its predicted cost in microseconds of slot time."""

    job_id: UUID | None
    rank: int
    kind: str
    cost_us: int


@dataclass(frozen=True, slots=True)
class ReadRows:
    """An entity's first ready jobs; fewer than ``asked`` means that there are no more."""

    asked: int
    jobs: Sequence[ReadyJob]


@dataclass(frozen=True, slots=True)
class Pick:
    """One decision: this job next, at this start tag."""

    queue_id: int
    entity_id: int
    tenant_id: UUID
    start_tag: int
    job: ReadyJob


@dataclass(frozen=True, slots=True)
class QueueTags:
    """A queue's clock after the picks."""

    vruntime: int
    virtual_time: int
    is_backlogged: bool


@dataclass(frozen=True, slots=True)
class PickResult:
    """All picks of a tick in order, with the clocks they leave behind.

    ``vruntimes`` maps the picked entities to their new virtual time. ``is_cut_short`` says
    that room was left when a job would have been next that was not read.
    """

    picks: Sequence[Pick]
    virtual_time: int
    queues: Mapping[int, QueueTags]
    vruntimes: Mapping[int, int]
    is_cut_short: bool
