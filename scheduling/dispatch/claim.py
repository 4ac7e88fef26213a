"""Claims of the picked jobs: they change from ready to dispatched and are charged, in one transaction.

The rates of queues limit the claims to a number of dispatched jobs a minute, by the generic cell rate algorithm. The
theoretical arrival time is stored in the queue's clock and time is the database's, so each dispatcher continues where
the last one stopped. A queue without tokens gets no slots in this tick; the other queues are not affected.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from psycopg.rows import namedtuple_row, scalar_row

from scheduling.celery.publishing import Hint
from scheduling.dispatch.concurrency_keys import NO_KEYS, KeysReading, reserve_keys, return_keys
from scheduling.dispatch.memory_room import tenants_beyond_memory
from scheduling.dispatch.read import PoolReading
from scheduling.fairness.gcra import Rate, take
from scheduling.fairness.run_queue import level_of, reason_of
from scheduling.fairness.shares import Pick, PoolShare
from tenants.database.ids import uuid7s
from tenants.database.prepared import execute, fetch_all, prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_RESERVE = _SQL["reserve_capacity"]
_CLAIM = _SQL["claim_jobs"]
_RETURN_CAPACITY = _SQL["return_capacity"]
_RATED = _SQL["read_rates"]
_SPEND = _SQL["spend_rates"]
_GIVE_BACK = _SQL["give_back_token"]


class Claim(NamedTuple):
    """A picked job that is being dispatched, and the message that will contain it."""

    pick: Pick
    queue_name: str
    execution_id: UUID
    message_id: UUID
    token: UUID
    fence: int = 0
    traceparent: str | None = None


def count_messages[K](picks: Iterable[Pick], key: Callable[[Pick], K]) -> Counter[K]:
    """Return the number of messages that these picks need, for each value of ``key``, such as the tenant."""
    return Counter(who for who, _ in {(key(pick), pick.message) for pick in picks})


def hints_of(claims: Sequence[Claim]) -> list[Hint]:
    """Return the bodies of the messages for the claimed jobs, in the order of the picks."""
    messages: dict[UUID, list[Claim]] = defaultdict(list)
    for claim in claims:
        messages[claim.message_id].append(claim)
    return [
        Hint(members[0].queue_name, [member.execution_id for member in members], members[0].token)
        for members in messages.values()
    ]


def reserve_capacity(pool_id: int, reading: PoolReading, picks: Sequence[Pick]) -> Sequence[Pick]:
    """Count the messages of the picks against their tenants' caps; return the picks of tenants with enough room.

    Those of tenants that may not run in the pool's region are left out. A tenant whose capacity row is locked counts as
    one without room. So does one whose limit of memory another pool's tick has used up since it was read.
    """
    counts = count_messages(picks, lambda pick: pick.tenant_id)
    values = {"pool_id": pool_id, "tenant_ids": list(counts), "counts": list(counts.values())}
    reserved = set(fetch_all(_RESERVE, values, scalar_row))
    if reading.has_memory_limits and (beyond := tenants_beyond_memory(picks) & reserved):
        execute(_RETURN_CAPACITY, {"tenant_ids": list(beyond), "counts": [counts[one] for one in beyond]})
        reserved -= beyond
    return [pick for pick in picks if pick.tenant_id in reserved]


def claim_jobs(pool_id: int, reading: PoolReading, picks: Sequence[Pick], keys: KeysReading = NO_KEYS) -> list[Claim]:
    """Claim the picks whose jobs are still ready and whose concurrency keys have room, and return the claims.

    The capacity that was reserved for the other picks is given back.
    """
    reserved = reserve_keys(keys, picks) if keys.by_job else picks
    claims = _claims_of(reading, reserved)
    with prepared_cursor(namedtuple_row) as cursor:
        cursor.execute(_CLAIM, _claim_parameters(pool_id, reading.share, claims))
        claimed = {row.execution_id: row for row in cursor.fetchall()}
        kept = [claim.pick for claim in claims if claim.execution_id in claimed]
        lost = count_messages(picks, lambda pick: pick.tenant_id) - count_messages(kept, lambda pick: pick.tenant_id)
        if lost:
            cursor.execute(_RETURN_CAPACITY, {"tenant_ids": list(lost), "counts": list(lost.values())})
    if keys.by_job:
        return_keys(keys, reserved, kept)
    return [
        claim._replace(fence=row.fence, traceparent=row.traceparent)
        for claim in claims
        if (row := claimed.get(claim.execution_id)) is not None
    ]


def _claims_of(reading: PoolReading, picks: Sequence[Pick]) -> list[Claim]:
    """Return the picks with new execution ids; a message has the id of its first execution, and one token."""
    messages: dict[int, tuple[UUID, UUID]] = {}
    claims = []
    for pick, execution_id in zip(picks, uuid7s(len(picks)), strict=True):
        message_id, token = messages.get(pick.message) or messages.setdefault(pick.message, (execution_id, uuid4()))
        claims.append(Claim(pick, reading.queue_names[pick.queue_id], execution_id, message_id, token))
    return claims


def _claim_parameters(pool_id: int, share: PoolShare, claims: Sequence[Claim]) -> dict[str, Any]:
    queue_weights = {queue.queue_id: queue.weight_milli for queue in share.queues}
    tenants = {tenant.entity_id: tenant for queue in share.queues for tenant in queue.tenants}
    picks = [claim.pick for claim in claims]
    return {
        "pool_id": pool_id,
        "entity_ids": [pick.entity_id for pick in picks],
        "ranks": [pick.job.stored_rank for pick in picks],
        "job_ids": [pick.job.job_id for pick in picks],
        "queue_ids": [pick.queue_id for pick in picks],
        "costs": [pick.job.cost_us for pick in picks],
        "are_lists": [not pick.job.may_merge for pick in picks],
        "predictions": [pick.job.predicted_us or pick.job.cost_us for pick in picks],
        "execution_ids": [claim.execution_id for claim in claims],
        "message_ids": [claim.message_id for claim in claims],
        "tokens": [claim.token for claim in claims],
        "charge_ids": uuid7s(len(claims)),
        "event_ids": uuid7s(len(claims)),
        "weights": [tenants[pick.tenant_entity_id].weight_milli for pick in picks],
        "queue_weights": [queue_weights[pick.queue_id] for pick in picks],
        "start_tags": [pick.start_tag for pick in picks],
        "queue_tags": [pick.queue_start_tag for pick in picks],
        "key_tags": [pick.key_start_tag if tenants[pick.tenant_entity_id].keys else None for pick in picks],
        # In order of arrival the first number of a turn is a rank, not a tag.
        "runner_up_tags": [pick.runner_up[0] if pick.runner_up and not pick.is_fifo else None for pick in picks],
        "queue_runner_up_tags": [pick.queue_runner_up for pick in picks],
        "key_runner_up_tags": [pick.key_runner_up for pick in picks],
        "in_flights": [pick.turn[1] for pick in picks],
        "waitings": [tenants[pick.tenant_entity_id].waiting for pick in picks],
        "levels": [level.value if (level := level_of(pick)) else None for pick in picks],
        "reasons": [reason_of(pick).value for pick in picks],
        "moves": [json.dumps(pick.job.move.facts) if pick.job.move else None for pick in picks],
    }


class NextTickTrigger(Enum):
    """The events that may let another job start after a tick: an end of an execution, a new job, or either."""

    ENDS = auto()
    """Every slot is taken and a job waits: new jobs change nothing until a slot is free."""
    JOBS = auto()
    """Slots are free, and no cap, rate or reserve holds jobs back: an end changes nothing."""
    EITHER = auto()


def next_tick_trigger(reading: PoolReading, claims: Sequence[Claim]) -> NextTickTrigger:
    """Return which events may let a job of the pool start after this reading and these claims."""
    if reading.is_end_kept:
        # The settlement of that end frees its slot.
        return NextTickTrigger.EITHER
    if reading.share.room == 0:
        return NextTickTrigger.ENDS
    if is_every_slot_taken(reading, [claim.pick for claim in claims]):
        # With no jobs left, a freed slot has no use: then new jobs are awaited too.
        return NextTickTrigger.ENDS if _is_anybody_left(reading, claims) else NextTickTrigger.EITHER
    is_kept = reading.is_anybody_capped or reading.has_memory_limits or reading.share.reserved > 0
    is_anybody_kept = is_kept or _is_queue_full(reading, claims) or _is_tenant_full(reading, claims)
    return NextTickTrigger.EITHER if is_anybody_kept else NextTickTrigger.JOBS


def is_every_slot_taken(reading: PoolReading, picks: Sequence[Pick]) -> bool:
    """Return whether these picks need at least as many messages as there are free slots."""
    return len({pick.message for pick in picks}) >= reading.share.room


def _is_anybody_left(reading: PoolReading, claims: Sequence[Claim]) -> bool:
    """Return whether any jobs are left that may be picked."""
    jobs = Counter(claim.pick.tenant_entity_id for claim in claims)
    return any(
        queue.has_more or any(jobs[tenant.entity_id] < tenant.waiting for tenant in queue.tenants)
        for queue in reading.share.queues
    )


def _is_queue_full(reading: PoolReading, claims: Sequence[Claim]) -> bool:
    """Return whether a queue has no room left by its cap or its rate."""
    taken = count_messages([claim.pick for claim in claims], lambda pick: pick.queue_id)
    return any(queue.room <= taken[queue.queue_id] for queue in reading.share.queues)


def _is_tenant_full(reading: PoolReading, claims: Sequence[Claim]) -> bool:
    """Return whether a tenant has jobs left, but no room by its cap."""
    picks = [claim.pick for claim in claims]
    messages = count_messages(picks, lambda pick: pick.tenant_id)
    jobs = Counter(pick.tenant_entity_id for pick in picks)
    room = reading.share.tenant_room
    return any(
        messages[tenant.tenant_id] >= room[tenant.tenant_id] and jobs[tenant.entity_id] < tenant.waiting
        for queue in reading.share.queues
        for tenant in queue.tenants
    )


@dataclass(frozen=True, slots=True)
class QueueRate:
    """The dispatch rate of a queue, with its stored arrival time and the time of the tick, in microseconds."""

    rate: Rate
    arrival_us: int
    now_us: int


def limit_rates(reading: PoolReading) -> tuple[PoolReading, Mapping[int, QueueRate]]:
    """Return a copy of the reading with the queues' room limited to the tokens of their rates, and these rates."""
    if not reading.rated:
        return reading, {}
    rates = {
        row.queue_id: QueueRate(
            Rate.of_queue(row.dispatches_per_minute, row.dispatch_burst), row.arrival_us, row.now_us
        )
        for row in fetch_all(_RATED, {"queue_ids": list(reading.rated)})
    }
    queues = [
        replace(queue, room=tokens(rates[queue.queue_id], queue.room)) if queue.queue_id in rates else queue
        for queue in reading.share.queues
    ]
    return replace(reading, share=replace(reading.share, queues=queues)), rates


def spend_rates(rates: Mapping[int, QueueRate], claims: Sequence[Claim]) -> None:
    """Take the tokens of the claimed jobs from the rates of their queues, in the transaction of the claims."""
    claimed = Counter(claim.pick.queue_id for claim in claims if claim.pick.queue_id in rates)
    if not claimed:
        return
    arrivals = [
        now.now_us + take(now.arrival_us, now.now_us, now.rate, claimed[queue_id]).backlog_us
        for queue_id, now in rates.items()
        if queue_id in claimed
    ]
    with prepared_cursor() as cursor:
        queue_ids = [queue_id for queue_id in rates if queue_id in claimed]
        cursor.execute(_SPEND, {"queue_ids": queue_ids, "arrivals_us": arrivals})


def give_back_token(*, queue: str) -> None:
    """Give the token of a dispatched job back to the rate of its queue, because the job is returned unstarted.

    Call it within ``all_tenants()``. A queue without a rate is left alone.
    """
    with prepared_cursor() as cursor:
        cursor.execute(_GIVE_BACK, {"queue": queue})


def tokens(queue: QueueRate, wanted: int) -> int:
    """Return how many of ``wanted`` jobs the queue's rate allows to be dispatched now."""
    return take(queue.arrival_us, queue.now_us, queue.rate, wanted).granted
