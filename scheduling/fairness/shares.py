"""The frozen values at the boundary of the fair order.

Those made once a pick are named tuples, which cost a third of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID


@dataclass(frozen=True, slots=True)
class KeyShare:
    """The jobs of one fair key of a tenant in a queue, beside those of its other keys.

    ``head_rank`` is the rank of its first ready job, ``waiting`` an upper bound of its ready
    jobs, ``estimate_us`` the predicted cost of its next job. The entity of the tenant itself
    stands for its jobs without a key.
    """

    entity_id: int
    vruntime: int
    in_flight: int
    head_rank: int
    waiting: int
    estimate_us: int


@dataclass(frozen=True, slots=True)
class TenantShare:
    """An eligible tenant in a queue: ``in_flight``, ``head_rank`` and ``waiting`` of all its jobs there.

    Without ``keys`` it has one line of jobs, whose virtual time is ``own_vruntime``.
    ``virtual_time`` is the clock that its keys share. ``entitled_slots`` matters only where
    slots are reserved.
    """

    entity_id: int
    tenant_id: UUID
    weight_milli: int
    vruntime: int
    in_flight: int
    head_rank: int
    waiting: int
    estimate_us: int
    own_vruntime: int = 0
    virtual_time: int = 0
    keys: Sequence[KeyShare] = ()
    entitled_slots: float = 0.0

    @property
    def lines(self) -> Sequence[TenantShare | KeyShare]:
        """Where its jobs wait: its keys, or the one line of a tenant that has none."""
        return self.keys or (self,)


@dataclass(frozen=True, slots=True)
class QueueShare:
    """A queue with its eligible tenants; ``room`` is how many more messages its cap allows, whatever the pool has.

    ``has_more`` says that others may be eligible who were not read, behind those who were.
    """

    queue_id: int
    weight_milli: int
    vruntime: int
    virtual_time: int
    was_backlogged: bool
    room: int
    is_fifo: bool
    tenants: Sequence[TenantShare]
    in_flight: int = 0
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class MergeRule:
    """Jobs predicted below ``below_us`` share a message: at most ``jobs``, and ``total_us`` of predicted work."""

    below_us: int
    jobs: int
    total_us: int


@dataclass(frozen=True, slots=True)
class PoolShare:
    """A pool with its free slots and the queues that may be served.

    ``room`` counts messages, of which each has a slot; ``tenant_room`` says how many more of them each tenant may
    have over all pools. ``limit`` is the most jobs to pick: as many tenants were read of a queue of which so many may
    be, and those hold its least start tags. Without ``merging`` every job is a message of its own, and ``room`` is the
    limit.
    The last ``reserved`` of the slots are for tenants below their entitlement, as long as there are any.
    """

    virtual_time: int
    room: int
    queues: Sequence[QueueShare]
    tenant_room: Mapping[UUID, int]
    limit: int | None = None
    merging: MergeRule | None = None
    reserved: int = 0


class ReadyJob(NamedTuple):
    """A job that may start, and what its hand-out is charged, in microseconds of slot time.

    ``may_merge``: it is small, its kind allows it and nothing is held against it. ``predicted_us`` is what it is
    predicted to cost, where that is not what it is charged.
    """

    job_id: UUID | None
    rank: int
    kind: str
    cost_us: int
    may_merge: bool = False
    predicted_us: int | None = None

    @property
    def whole_us(self) -> int:
        """What it is predicted to cost."""
        return self.cost_us if self.predicted_us is None else self.predicted_us


@dataclass(frozen=True, slots=True)
class ReadRows:
    """An entity's first ready jobs; fewer than ``asked`` means that there are no more."""

    asked: int
    jobs: Sequence[ReadyJob]


class Level(StrEnum):
    """Where in the tree there was somebody else to choose."""

    QUEUE = "queue"
    TENANT = "tenant"
    KEY = "key"


class Reason(StrEnum):
    """Why one child went before the others of its level."""

    LEAST_VIRTUAL_TIME = "least_virtual_time"
    ARRIVAL_ORDER = "arrival_order"
    TIE = "tie"
    TIE_IN_FLIGHT = "tie_in_flight"
    TIE_LONGEST_WAITING = "tie_longest_waiting"
    ONLY_CANDIDATE = "only_candidate"
    RESERVED = "reserved"


class Pick(NamedTuple):
    """One decision: this job next, with the numbers that made it so.

    ``entity_id`` is the key's entity, or the tenant's own, ``tenant_entity_id``, for a job
    without a key. ``turn`` and ``runner_up`` are the places of the tenant and of the next
    among its siblings; where ``is_fifo``, their first number is the rank, and likewise for
    keys. ``queue_runner_up`` and ``key_runner_up`` are the start tags of the next queue of the
    pool and of the next key of the tenant, None where there is none or the order is that of
    arrival. Picks of one ``message`` share a slot.
    """

    queue_id: int
    entity_id: int
    tenant_id: UUID
    start_tag: int
    job: ReadyJob
    tenant_entity_id: int
    queue_start_tag: int
    key_start_tag: int
    turn: tuple[int, int, int, int]
    runner_up: tuple[int, int, int, int] | None
    message: int = 0
    is_reserved: bool = False
    is_fifo: bool = False
    queue_runner_up: int | None = None
    key_runner_up: int | None = None

    @property
    def level(self) -> Level | None:
        """The level that decided: that of its tenant, or else of its queue, or else of its key; None for no choice."""
        if self.runner_up is not None:
            return Level.TENANT
        if self.queue_runner_up is not None:
            return Level.QUEUE
        return None if self.key_runner_up is None else Level.KEY

    @property
    def reason(self) -> Reason:
        """Why it was next at the level that decided."""
        if self.is_reserved:
            return Reason.RESERVED
        match self.level:
            case Level.TENANT:
                return self._reason_of_tenant()
            case Level.QUEUE:
                is_tie = self.queue_start_tag == self.queue_runner_up
            case Level.KEY:
                is_tie = self.key_start_tag == self.key_runner_up
            case _:
                return Reason.ONLY_CANDIDATE
        return Reason.TIE if is_tie else Reason.LEAST_VIRTUAL_TIME

    def _reason_of_tenant(self) -> Reason:
        """The first number in which the tenant and its runner-up differ; the id settles what is left."""
        assert self.runner_up is not None
        if self.turn[0] != self.runner_up[0]:
            return Reason.ARRIVAL_ORDER if self.is_fifo else Reason.LEAST_VIRTUAL_TIME
        if self.turn[1] != self.runner_up[1]:
            return Reason.TIE_IN_FLIGHT
        return Reason.ARRIVAL_ORDER if self.is_fifo else Reason.TIE_LONGEST_WAITING


@dataclass(frozen=True, slots=True)
class QueueTags:
    """A queue's clock after the picks."""

    vruntime: int
    virtual_time: int
    is_backlogged: bool


@dataclass(frozen=True, slots=True)
class TenantTags:
    """A tenant's clocks after the picks: its own, the one of its keys, and each picked key's."""

    vruntime: int
    virtual_time: int
    keys: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class PickResult:
    """All picks of a tick in order, with the clocks they leave behind.

    ``tenants`` has those that were picked, by their entity. ``is_cut_short`` says that room
    was left when a job would have been next that was not read.
    """

    picks: Sequence[Pick]
    virtual_time: int
    queues: Mapping[int, QueueTags]
    tenants: Mapping[int, TenantTags]
    is_cut_short: bool

    @property
    def vruntimes(self) -> Mapping[int, int]:
        """The new virtual time of each picked tenant, by its entity."""
        return {entity_id: tags.vruntime for entity_id, tags in self.tenants.items()}
