"""The routing rules and the tiers' queues under the active CFS plan, as they were within the last second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import scalar_row

from scheduling.models import Queue, RoutingRule, RoutingTarget, WorkerPool
from tenants.cache.shared_cache import SharedCache
from tenants.database.prepared import prepared_cursor
from tenants.database.rows import rows_of_json
from tenants.database.sql import load_sql

_ROUTES = load_sql(__file__)["read_routes"]


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
    with prepared_cursor(scalar_row) as cursor:
        cursor.execute(_ROUTES)
        document: Mapping[str, Any] = cursor.fetchone()
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
