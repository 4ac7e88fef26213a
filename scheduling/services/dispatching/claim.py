"""Claim the picked jobs: from ready to dispatched, with their charge, in one transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from django.db import connection

from scheduling.broker import Hint
from scheduling.fairness.shares import Pick, PickResult, PoolShare, ReadRows
from scheduling.fairness.virtual_time import virtual_service
from scheduling.services.dispatching.read import PoolReading
from tenants.ids import uuid7

# A tenant's cap spans pools, so it is taken on the tenant's own row; two pools' ticks that
# each counted first broke it.
_RESERVE = """
WITH wanted AS (
    SELECT * FROM unnest(%(tenant_ids)s::uuid[], %(counts)s::int[]) AS w(tenant_id, n)
), locked AS (
    SELECT c.tenant_id FROM scheduling_tenant_capacity c JOIN wanted USING (tenant_id)
    -- Another pool's tick holds what it folds and takes; to wait here, after folding, could be to wait in a ring.
    ORDER BY c.tenant_id FOR UPDATE OF c SKIP LOCKED
)
UPDATE scheduling_tenant_capacity c SET in_flight = c.in_flight + w.n
FROM wanted w JOIN locked USING (tenant_id)
    JOIN tenants_tenant t ON t.id = w.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
WHERE c.tenant_id = w.tenant_id AND c.in_flight + w.n <= coalesce(t.max_concurrency, p.max_concurrency)
RETURNING c.tenant_id
"""
# What the delete returned is claimed, never what was picked: a cancel may lie between.
_CLAIM = """
WITH picked AS (
    SELECT * FROM unnest(%(entity_ids)s::bigint[], %(ranks)s::bigint[], %(job_ids)s::uuid[], %(queue_ids)s::bigint[],
        %(costs)s::bigint[], %(execution_ids)s::uuid[], %(tokens)s::uuid[], %(charge_ids)s::uuid[],
        %(event_ids)s::uuid[], %(start_tags)s::bigint[], %(weights)s::int[], %(queue_weights)s::int[],
        %(message_ids)s::uuid[])
        AS p(entity_id, rank, job_id, queue_id, cost_us, execution_id, token, charge_id, event_id, start_tag,
            weight_milli, queue_weight_milli, message_id)
), gone AS (
    DELETE FROM scheduling_job_ready r USING picked p
    WHERE r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
    RETURNING r.tenant_id, r.kind, p.*
), claimed AS (
    UPDATE scheduling_job j SET state = 'dispatched', execution_count = j.execution_count + 1
    FROM gone g WHERE j.id = g.job_id AND j.state = 'available'
    RETURNING g.*, j.execution_count AS number, j.fence, j.traceparent
), live AS (
    INSERT INTO scheduling_execution_live (id, tenant_id, job_id, entity_id, queue_id, pool_id, kind, number, token,
        fence, predicted_us, weight_milli, queue_weight_milli, message_id, dispatched_at, published_at)
    SELECT execution_id, tenant_id, job_id, entity_id, queue_id, %(pool_id)s, kind, number, token,
        fence, cost_us, weight_milli, queue_weight_milli, message_id, now(), now()
    FROM claimed
), charge AS (
    INSERT INTO scheduling_charge (id, tenant_id, job_id, execution_id, queue_id, reason, microseconds, at)
    SELECT charge_id, tenant_id, job_id, execution_id, queue_id, 'predicted', cost_us, now() FROM claimed
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, execution_id, now(), 'job.dispatched', 'dispatched', 'system', '',
        jsonb_build_object('start_tag', start_tag, 'predicted_us', cost_us, 'number', number)
    FROM claimed
)
SELECT execution_id, fence, traceparent FROM claimed
"""
_UPDATE_ENTITIES = """
UPDATE scheduling_schedulingentity e SET
    vruntime = u.vruntime, in_flight = e.in_flight + u.messages, waiting = e.waiting - u.claimed,
    head_rank = coalesce(u.head_rank, e.head_rank), estimate_us = coalesce(u.estimate_us, e.estimate_us),
    is_runnable = e.is_runnable AND u.is_runnable
FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::int[], %s::bigint[], %s::bigint[], %s::bool[])
    AS u(id, vruntime, claimed, messages, head_rank, estimate_us, is_runnable)
WHERE e.id = u.id
"""
_UPDATE_QUEUES = """
UPDATE scheduling_queue_clock c SET
    vruntime = u.vruntime, virtual_time = u.virtual_time, was_backlogged = u.is_backlogged,
    -- Nobody can return below the queue's virtual time, nor was anybody seen below `seen`.
    floor = CASE WHEN u.seen IS NULL THEN c.floor ELSE least(u.seen, u.virtual_time) END
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bool[], %s::bigint[])
    AS u(queue_id, vruntime, virtual_time, is_backlogged, seen)
WHERE c.queue_id = u.queue_id
"""
_RETURN_CAPACITY = """
UPDATE scheduling_tenant_capacity c SET in_flight = c.in_flight - u.n
FROM unnest(%s::uuid[], %s::int[]) AS u(tenant_id, n) WHERE c.tenant_id = u.tenant_id
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A picked job that is now dispatched, and the message that it travels in."""

    pick: Pick
    queue_name: str
    execution_id: UUID
    message_id: UUID
    token: UUID
    fence: int = 0
    traceparent: str | None = None


def count_messages[K](picks: Iterable[Pick], key: Callable[[Pick], K]) -> Counter[K]:
    """In how many messages of these picks each tenant, or whatever else ``key`` says, is."""
    return Counter(who for who, _ in {(key(pick), pick.message) for pick in picks})


def hints_of(claims: Sequence[Claim]) -> list[Hint]:
    """The messages that the claimed jobs travel in, in the order of the picks."""
    messages: dict[UUID, list[Claim]] = defaultdict(list)
    for claim in claims:
        messages[claim.message_id].append(claim)
    return [
        Hint(members[0].queue_name, [member.execution_id for member in members], members[0].token)
        for members in messages.values()
    ]


def reserve_capacity(picks: Sequence[Pick]) -> Sequence[Pick]:
    """Take each tenant's cap for its messages; the picks of a tenant whose cap was taken meanwhile go."""
    counts = count_messages(picks, lambda pick: pick.tenant_id)
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, {"tenant_ids": list(counts), "counts": list(counts.values())})
        reserved = {tenant_id for (tenant_id,) in cursor.fetchall()}
    return [pick for pick in picks if pick.tenant_id in reserved]


def claim_jobs(pool_id: int, reading: PoolReading, picks: Sequence[Pick]) -> list[Claim]:
    """Dispatch the picks whose jobs are still there, and give back the capacity of the rest."""
    claims = _claims_of(reading, picks)
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, _claim_parameters(pool_id, reading.share, claims))
        claimed = {execution_id: (fence, traceparent) for execution_id, fence, traceparent in cursor.fetchall()}
        kept = [claim.pick for claim in claims if claim.execution_id in claimed]
        lost = count_messages(picks, lambda pick: pick.tenant_id) - count_messages(kept, lambda pick: pick.tenant_id)
        if lost:
            cursor.execute(_RETURN_CAPACITY, [list(lost), list(lost.values())])
    return [
        replace(claim, fence=fence, traceparent=traceparent)
        for claim in claims
        if claim.execution_id in claimed
        for fence, traceparent in [claimed[claim.execution_id]]
    ]


def _claims_of(reading: PoolReading, picks: Sequence[Pick]) -> list[Claim]:
    """The picks with ids of their executions; a message has the id of its first one, and one token."""
    messages: dict[int, tuple[UUID, UUID]] = {}
    claims = []
    for pick in picks:
        execution_id = uuid7()
        message_id, token = messages.setdefault(pick.message, (execution_id, uuid4()))
        claims.append(Claim(pick, reading.queue_names[pick.queue_id], execution_id, message_id, token))
    return claims


def _claim_parameters(pool_id: int, share: PoolShare, claims: Sequence[Claim]) -> dict[str, Any]:
    queue_weights = {queue.queue_id: queue.weight_milli for queue in share.queues}
    weights = {tenant.entity_id: tenant.weight_milli for queue in share.queues for tenant in queue.tenants}
    return {
        "pool_id": pool_id,
        "entity_ids": [claim.pick.entity_id for claim in claims],
        "ranks": [claim.pick.job.rank for claim in claims],
        "job_ids": [claim.pick.job.job_id for claim in claims],
        "queue_ids": [claim.pick.queue_id for claim in claims],
        "costs": [claim.pick.job.cost_us for claim in claims],
        "execution_ids": [claim.execution_id for claim in claims],
        "message_ids": [claim.message_id for claim in claims],
        "tokens": [claim.token for claim in claims],
        "charge_ids": [uuid7() for _ in claims],
        "event_ids": [uuid7() for _ in claims],
        "start_tags": [claim.pick.start_tag for claim in claims],
        "weights": [weights[claim.pick.entity_id] for claim in claims],
        "queue_weights": [queue_weights[claim.pick.queue_id] for claim in claims],
    }


def advance_clocks(
    pool_id: int,
    reading: PoolReading,
    rows: Mapping[int, ReadRows],
    result: PickResult,
    claims: Sequence[Claim],
) -> None:
    """Write the clocks that the picks left behind, less the charge of picks that were not claimed."""
    entities = _moved_entities(reading, rows, result, claims)
    queues = [
        (queue_id, tags.vruntime, tags.virtual_time, tags.is_backlogged, reading.floors.get(queue_id))
        for queue_id, tags in result.queues.items()
    ]
    with connection.cursor() as cursor:
        if entities:
            cursor.execute(_UPDATE_ENTITIES, _columns(entities))
        cursor.execute(_UPDATE_QUEUES, _columns(queues))
        cursor.execute(
            "UPDATE scheduling_pool_clock SET virtual_time = %s WHERE pool_id = %s",
            [result.virtual_time, pool_id],
        )


def charge_entities(
    reading: PoolReading, rows: Mapping[int, ReadRows], result: PickResult, claims: Sequence[Claim]
) -> None:
    """The same for a restricted tick: it charges whom it served and leaves the queues' clocks.

    It saw one kind only, so it cannot tell that an entity has no more jobs.
    """
    entities = [(*row[:-1], True) for row in _moved_entities(reading, rows, result, claims) if row[2]]
    with connection.cursor() as cursor:
        if entities:
            cursor.execute(_UPDATE_ENTITIES, _columns(entities))


def _moved_entities(
    reading: PoolReading, rows: Mapping[int, ReadRows], result: PickResult, claims: Sequence[Claim]
) -> list[tuple[int, int, int, int, int | None, int | None, bool]]:
    """(id, vruntime, claimed, messages, head rank, estimate, is runnable) of the entities that changed."""
    claimed = Counter(claim.pick.entity_id for claim in claims)
    claimed_picks = [claim.pick for claim in claims]
    messages = count_messages(claimed_picks, lambda pick: pick.entity_id)
    unclaimed = _unclaimed_cost(result.picks, claims)
    room = Counter(reading.share.tenant_room)
    room.subtract(count_messages(claimed_picks, lambda pick: pick.tenant_id))
    moved: list[tuple[int, int, int, int, int | None, int | None, bool]] = []
    for tenant in (tenant for queue in reading.share.queues for tenant in queue.tenants):
        entity_id = tenant.entity_id
        read, taken = rows[entity_id], claimed[entity_id]
        rest = read.jobs[taken] if taken < len(read.jobs) else None
        has_more = rest is not None or len(read.jobs) >= read.asked
        is_runnable = has_more and room[tenant.tenant_id] > 0
        if not taken and is_runnable:
            continue
        vruntime = result.vruntimes.get(entity_id, tenant.vruntime)
        vruntime -= virtual_service(unclaimed[entity_id], tenant.weight_milli)
        estimate = read.jobs[taken - 1].cost_us if taken else None
        moved.append(
            (entity_id, vruntime, taken, messages[entity_id], rest.rank if rest else None, estimate, is_runnable)
        )
    return moved


def _unclaimed_cost(picks: Sequence[Pick], claims: Sequence[Claim]) -> Mapping[int, int]:
    done = {claim.pick.job.job_id for claim in claims}
    cost: dict[int, int] = defaultdict(int)
    for pick in picks:
        if pick.job.job_id not in done:
            cost[pick.entity_id] += pick.job.cost_us
    return cost


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
