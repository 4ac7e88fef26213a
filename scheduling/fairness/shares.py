"""The frozen values that are input and result of a pick in fair order.

Those that a pick creates for each job are named tuples, which cost a third of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID


@dataclass(frozen=True, slots=True)
class KeyShare:
    """The jobs of one fair key of a tenant in a queue.

    ``head_rank`` is the rank of its first ready job, ``waiting`` an upper bound of its ready jobs, ``estimate_us`` the
    predicted cost of its next job. A tenant's jobs without a key are a KeyShare too, with the tenant's own
    ``entity_id``.
    """

    entity_id: int
    vruntime: int
    in_flight: int
    head_rank: int
    waiting: int
    estimate_us: int


@dataclass(frozen=True, slots=True)
class TenantShare:
    """A tenant that may be picked from in a queue.

    ``in_flight``, ``head_rank`` and ``waiting`` cover all its jobs in the queue. Without ``keys`` its jobs are in one
    line, whose virtual time is ``own_vruntime``. ``virtual_time`` is the clock that its keys share. ``entitled_slots``
    matters only with reserved slots.
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


@dataclass(frozen=True, slots=True)
class QueueShare:
    """A queue with the tenants that may be picked from; ``room`` is how many more messages its cap allows.

    ``has_more``: tenants that were not read may be eligible, behind those that were read.
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
    """Which jobs share a message: small ones, predicted below ``below_us``, are merged; others travel in lists.

    A merged message has at most ``jobs`` jobs and ``total_us`` of predicted work, a list ``list_jobs`` and ``list_us``.
    """

    below_us: int
    jobs: int
    total_us: int
    list_jobs: int = 1
    list_us: int = 0

    def most_jobs(self, cost_us: int) -> int:
        """Return how many jobs of this predicted cost share a message at most."""
        is_small = cost_us < self.below_us
        jobs, total_us = (self.jobs, self.total_us) if is_small else (self.list_jobs, self.list_us)
        return max(1, min(jobs, total_us // max(1, cost_us)))


@dataclass(frozen=True, slots=True)
class PoolShare:
    """A pool with its free slots and the queues that may be picked from.

    ``room`` counts messages, one slot each; ``tenant_room`` is how many more messages each tenant may have over all
    pools. ``limit`` is the most jobs to pick; as many tenants of a queue were read, those of least virtual time.
    Without ``merging`` every job is a message of its own, and ``room`` is the limit.

    The last ``reserved`` slots are for tenants below their entitlement, as long as there are any.
    """

    virtual_time: int
    room: int
    queues: Sequence[QueueShare]
    tenant_room: Mapping[UUID, int]
    limit: int | None = None
    merging: MergeRule | None = None
    reserved: int = 0


class Move(NamedTuple):
    """By how many seconds rules place a job earlier in its line (negative: later), and their names."""

    seconds: int
    rules: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """Return it as the event of a dispatch has it."""
        return {"seconds": self.seconds, "rules": list(self.rules)}


class ReadyJob(NamedTuple):
    """A job that may start, and what its dispatch is charged, in microseconds of slot time.

    ``rank`` is its place among its tenant's jobs. While rules move jobs, it is the rank of the job whose place it has
    taken, so that its tenant's turns are those without rules; ``own_rank`` is then its own, and ``move`` what moved it.

    ``may_merge``: it is small, its kind allows it and nothing is held against it. ``may_list``: it is not merged, and
    nothing requires that it travels alone. ``predicted_us`` is the predicted cost of the whole job, of which the charge
    may be the first slice; 0 for a job that was not read from the database.
    """

    job_id: UUID | None
    rank: int
    kind: str
    cost_us: int
    may_merge: bool = False
    predicted_us: int = 0
    may_list: bool = False
    own_rank: int | None = None
    move: Move | None = None

    @property
    def stored_rank(self) -> int:
        """Return its own rank, which identifies its row."""
        return self.rank if self.own_rank is None else self.own_rank


@dataclass(frozen=True, slots=True)
class ReadRows:
    """The first ready jobs that were read of an entity; if there are fewer than ``asked``, the entity has no more."""

    asked: int
    jobs: Sequence[ReadyJob]


class TreeLevel(StrEnum):
    """The level of the fair-share tree at which the pick had an alternative."""

    QUEUE = "queue"
    TENANT = "tenant"
    KEY = "key"


class PickReason(StrEnum):
    """Why a queue, tenant or key was picked before the others of its level."""

    LEAST_VIRTUAL_TIME = "least_virtual_time"
    ARRIVAL_ORDER = "arrival_order"
    TIE = "tie"
    TIE_IN_FLIGHT = "tie_in_flight"
    TIE_LONGEST_WAITING = "tie_longest_waiting"
    ONLY_CANDIDATE = "only_candidate"
    RESERVED = "reserved"


class Pick(NamedTuple):
    """One decision of a tick: the job to dispatch next, with the numbers that decided it.

    ``entity_id`` is the key's entity, or the tenant's own, ``tenant_entity_id``, for a job without a key. A start tag
    is the virtual time at which a job is picked. ``turn`` and ``runner_up`` are the places of the tenant and of the
    next among its siblings; with ``is_fifo``, their first number is the rank, and likewise for keys.
    ``queue_runner_up`` and ``key_runner_up`` are the start tags of the next queue of the pool and of the next key of
    the tenant, or None without one or in order of arrival. Picks of one ``message`` share a slot.
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


@dataclass(frozen=True, slots=True)
class QueueTags:
    """The virtual times of a queue after the picks."""

    vruntime: int
    virtual_time: int
    is_backlogged: bool


@dataclass(frozen=True, slots=True)
class TenantTags:
    """The virtual times of a tenant after the picks: its own, the clock of its keys, and that of each picked key."""

    vruntime: int
    virtual_time: int
    keys: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class PickResult:
    """All picks of a tick in order, and the virtual times after them.

    ``tenants`` has the tenants that were picked from, by entity. ``is_cut_short``: slots were left, but the next job in
    order had not been read.
    """

    picks: Sequence[Pick]
    virtual_time: int
    queues: Mapping[int, QueueTags]
    tenants: Mapping[int, TenantTags]
    is_cut_short: bool

    @property
    def vruntimes(self) -> Mapping[int, int]:
        """Return the new virtual time of each tenant that was picked from, by entity."""
        return {entity_id: tags.vruntime for entity_id, tags in self.tenants.items()}
