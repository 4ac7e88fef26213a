"""The routing rules and the tiers' queues under the active CFS plan, as they were within the last second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scheduling.models import Queue, RoutingRule, RoutingTarget, WorkerPool
from tenants.joined_rows import rows_of_json
from tenants.prepared import prepared_cursor
from tenants.shared_cache import SharedCache

# As one document that PostgreSQL writes: to read it costs each process a statement each half second.
_ROUTES = """
    WITH rules AS (
        SELECT * FROM scheduling_routingrule WHERE is_active
    ), targets AS (
        SELECT t.*, q.name FROM scheduling_routing_target t JOIN rules ON rules.id = t.rule_id AND rules.balance <> ''
            JOIN scheduling_queue q ON q.id = t.queue_id
    ), tiers AS (
        SELECT t.tier_id, t.queue_id FROM scheduling_cfsplantier t JOIN scheduling_cfsplan p ON p.id = t.plan_id
        WHERE p.is_active
    ), queues AS (
        SELECT * FROM scheduling_queue WHERE id IN (
            SELECT queue_id FROM rules UNION SELECT queue_id FROM targets UNION SELECT queue_id FROM tiers)
    )
    SELECT json_build_object(
        'rules', (SELECT coalesce(json_agg(r ORDER BY r.position), '[]') FROM rules r),
        'targets', (SELECT coalesce(json_agg(t ORDER BY t.name), '[]') FROM targets t),
        'tiers', (SELECT coalesce(json_object_agg(t.tier_id, t.queue_id ORDER BY t.tier_id), '{}') FROM tiers t),
        'queues', (SELECT coalesce(json_agg(q ORDER BY q.id), '[]') FROM queues q),
        'pools', (SELECT coalesce(json_agg(p ORDER BY p.id), '[]') FROM scheduling_workerpool p
            WHERE p.id IN (SELECT pool_id FROM queues))
    )
"""


@dataclass(frozen=True, slots=True)
class KnownRoutes:
    """Rules in their order, the targets of those that balance, and by tier the queue that ``by_tier`` means.

    Rows that nobody may change: others have them too.
    """

    rules: Sequence[RoutingRule]
    targets: Mapping[int, Sequence[RoutingTarget]]
    tier_queues: Mapping[str, Queue]


def read_routes() -> KnownRoutes:
    """As they are now, by one statement."""
    return _routes_of(_read())


def kept_routes() -> KnownRoutes:
    """Less than a second old."""
    return _kept.get("all", _read)


def _read() -> Mapping[str, Any]:
    with prepared_cursor() as cursor:
        cursor.execute(_ROUTES)
        document: Mapping[str, Any] = cursor.fetchone()[0]
    return document


def _routes_of(document: Mapping[str, Any]) -> KnownRoutes:
    pools = {pool.pk: pool for pool in rows_of_json(WorkerPool, document["pools"])}
    queues = {queue.pk: queue for queue in rows_of_json(Queue, document["queues"])}
    for queue in queues.values():
        queue.pool = pools[queue.pool_id]
    rules = rows_of_json(RoutingRule, document["rules"])
    targets: dict[int, list[RoutingTarget]] = {rule.pk: [] for rule in rules if rule.balance}
    for target in rows_of_json(RoutingTarget, document["targets"]):
        target.queue = queues[target.queue_id]
        targets[target.rule_id].append(target)
    for rule in rules:
        if rule.queue_id is not None:
            rule.queue = queues[rule.queue_id]
    return KnownRoutes(rules, targets, {tier: queues[pk] for tier, pk in document["tiers"].items()})


_kept = SharedCache("routes", _routes_of)
