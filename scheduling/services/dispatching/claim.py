"""Claim the picked jobs: from ready to dispatched, with their charge, in one transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from scheduling.broker import Hint
from scheduling.fairness.shares import Pick, PoolShare
from scheduling.services.dispatching.read import PoolReading
from tenants.ids import uuid7s
from tenants.prepared import prepared_cursor

# A tenant's cap spans pools, so it is taken on the tenant's own row; two pools' ticks that
# each counted first broke it.
_RESERVE = """
WITH wanted AS (
    SELECT * FROM unnest(%(tenant_ids)s::uuid[], %(counts)s::int[]) AS w(tenant_id, n)
), locked AS (
    SELECT c.tenant_id, w.n FROM scheduling_tenant_capacity c JOIN wanted w USING (tenant_id)
    -- Another pool's tick holds what it folds and takes; to wait here, after folding, could be to wait in a ring.
    ORDER BY c.tenant_id FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE scheduling_tenant_capacity c SET in_flight = c.in_flight + w.n
FROM locked w
    JOIN tenants_tenant t ON t.id = w.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
WHERE c.tenant_id = w.tenant_id AND c.in_flight + w.n <= coalesce(t.max_concurrency, p.max_concurrency)
RETURNING c.tenant_id
"""
# What the delete returned is claimed, never what was picked. The rows are locked by now, so it waits for nobody.
_CLAIM = """
WITH picked AS (
    SELECT * FROM unnest(%(entity_ids)s::bigint[], %(ranks)s::bigint[], %(job_ids)s::uuid[], %(queue_ids)s::bigint[],
        %(costs)s::bigint[], %(execution_ids)s::uuid[], %(tokens)s::uuid[], %(charge_ids)s::uuid[],
        %(event_ids)s::uuid[], %(weights)s::int[], %(queue_weights)s::int[], %(message_ids)s::uuid[],
        %(start_tags)s::bigint[], %(queue_tags)s::bigint[], %(key_tags)s::bigint[], %(runner_up_tags)s::bigint[],
        %(queue_runner_up_tags)s::bigint[], %(key_runner_up_tags)s::bigint[],
        %(in_flights)s::int[], %(waitings)s::int[], %(levels)s::text[], %(reasons)s::text[],
        %(predictions)s::bigint[])
        AS p(entity_id, rank, job_id, queue_id, cost_us, execution_id, token, charge_id, event_id, weight_milli,
            queue_weight_milli, message_id, start_tag, queue_tag, key_tag, runner_up_tag, queue_runner_up_tag,
            key_runner_up_tag, in_flight, waiting, level, reason, predicted_us)
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
        fence, predicted_us, whole_us, weight_milli, queue_weight_milli, message_id, dispatched_at, published_at)
    SELECT execution_id, tenant_id, job_id, entity_id, queue_id, %(pool_id)s, kind, number, token,
        fence, cost_us, nullif(predicted_us, cost_us), weight_milli, queue_weight_milli, message_id, now(), now()
    FROM claimed
), charge AS (
    INSERT INTO scheduling_charge (id, tenant_id, job_id, execution_id, queue_id, reason, microseconds, at)
    SELECT charge_id, tenant_id, job_id, execution_id, queue_id, 'predicted', cost_us, now() FROM claimed
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, execution_id, statement_timestamp(), 'job.dispatched', 'dispatched', 'system',
        '',
        -- What decided it, so that it can be told later.
        jsonb_strip_nulls(jsonb_build_object('start_tag', start_tag, 'queue_vruntime', queue_tag,
            'key_start_tag', key_tag, 'runner_up_start_tag', runner_up_tag,
            'queue_runner_up_start_tag', queue_runner_up_tag, 'key_runner_up_start_tag', key_runner_up_tag,
            'in_flight', in_flight, 'waiting', waiting, 'level', level, 'reason', reason,
            'predicted_us', predicted_us, 'charged_us', nullif(cost_us, predicted_us), 'number', number))
    FROM claimed
)
SELECT execution_id, fence, traceparent FROM claimed
"""
_RETURN_CAPACITY = """
UPDATE scheduling_tenant_capacity c SET in_flight = c.in_flight - u.n
FROM unnest(%s::uuid[], %s::int[]) AS u(tenant_id, n) WHERE c.tenant_id = u.tenant_id
"""


class Claim(NamedTuple):
    """A picked job that is dispatched now, or about to be, and the message that it travels in."""

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
    with prepared_cursor() as cursor:
        cursor.execute(_RESERVE, {"tenant_ids": list(counts), "counts": list(counts.values())})
        reserved = {tenant_id for (tenant_id,) in cursor.fetchall()}
    return [pick for pick in picks if pick.tenant_id in reserved]


def claim_jobs(pool_id: int, reading: PoolReading, picks: Sequence[Pick]) -> list[Claim]:
    """Dispatch the picks whose jobs are still there, and give back the capacity of the rest."""
    claims = _claims_of(reading, picks)
    with prepared_cursor() as cursor:
        cursor.execute(_CLAIM, _claim_parameters(pool_id, reading.share, claims))
        claimed = {execution_id: (fence, traceparent) for execution_id, fence, traceparent in cursor.fetchall()}
        kept = [claim.pick for claim in claims if claim.execution_id in claimed]
        lost = count_messages(picks, lambda pick: pick.tenant_id) - count_messages(kept, lambda pick: pick.tenant_id)
        if lost:
            cursor.execute(_RETURN_CAPACITY, [list(lost), list(lost.values())])
    return [
        claim._replace(fence=fence, traceparent=traceparent)
        for claim in claims
        if claim.execution_id in claimed
        for fence, traceparent in [claimed[claim.execution_id]]
    ]


def _claims_of(reading: PoolReading, picks: Sequence[Pick]) -> list[Claim]:
    """The picks with ids of their executions; a message has the id of its first one, and one token."""
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
        "ranks": [pick.job.rank for pick in picks],
        "job_ids": [pick.job.job_id for pick in picks],
        "queue_ids": [pick.queue_id for pick in picks],
        "costs": [pick.job.cost_us for pick in picks],
        "predictions": [pick.job.whole_us for pick in picks],
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
        # In order of arrival the first number of a turn is a rank, which is no tag.
        "runner_up_tags": [pick.runner_up[0] if pick.runner_up and not pick.is_fifo else None for pick in picks],
        "queue_runner_up_tags": [pick.queue_runner_up for pick in picks],
        "key_runner_up_tags": [pick.key_runner_up for pick in picks],
        "in_flights": [pick.turn[1] for pick in picks],
        "waitings": [tenants[pick.tenant_entity_id].waiting for pick in picks],
        "levels": [pick.level.value if pick.level else None for pick in picks],
        "reasons": [pick.reason.value for pick in picks],
    }
