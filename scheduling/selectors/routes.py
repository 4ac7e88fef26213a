"""The routing rules and the tiers' queues under the active CFS plan, as they were within the last second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core import serializers
from django.db.models import Model, prefetch_related_objects

from scheduling.models import CFSPlanTier, Queue, RoutingRule, RoutingTarget, WorkerPool
from tenants.shared_cache import SharedCache


@dataclass(frozen=True, slots=True)
class KnownRoutes:
    """Rules in their order, the targets of those that balance, and by tier the queue that ``by_tier`` means.

    Rows that nobody may change: others have them too.
    """

    rules: Sequence[RoutingRule]
    targets: Mapping[int, Sequence[RoutingTarget]]
    tier_queues: Mapping[str, Queue]


def read_routes() -> KnownRoutes:
    """As they are now: two queries, a third where rules balance."""
    rules = list(RoutingRule.objects.filter(is_active=True).select_related("queue__pool"))
    balanced = [rule for rule in rules if rule.balance]
    prefetch_related_objects(balanced, "targets__queue__pool")
    rows = CFSPlanTier.objects.filter(plan__is_active=True).select_related("queue__pool")
    targets = {rule.pk: list(rule.targets.all()) for rule in balanced}
    return KnownRoutes(rules, targets, {row.tier_id: row.queue for row in rows})


def kept_routes() -> KnownRoutes:
    """Less than a second old."""
    return _kept.get("all", lambda: _document_of(read_routes()))


def _document_of(routes: KnownRoutes) -> dict[str, Any]:
    targets = [target for listed in routes.targets.values() for target in listed]
    named = [rule.queue for rule in routes.rules if rule.queue is not None]
    queues = {queue.pk: queue for queue in [*named, *(t.queue for t in targets), *routes.tier_queues.values()]}
    pools = {queue.pool_id: queue.pool for queue in queues.values()}
    return {
        "pools": _write(pools.values()),
        "queues": _write(queues.values()),
        "rules": _write(routes.rules),
        "targets": _write(targets),
        "tiers": {tier: queue.pk for tier, queue in routes.tier_queues.items()},
    }


def _routes_of(document: Mapping[str, Any]) -> KnownRoutes:
    pools = {pool.pk: pool for pool in _rows(WorkerPool, document["pools"])}
    queues = {queue.pk: queue for queue in _rows(Queue, document["queues"])}
    for queue in queues.values():
        queue.pool = pools[queue.pool_id]
    rules = _rows(RoutingRule, document["rules"])
    targets: dict[int, list[RoutingTarget]] = {rule.pk: [] for rule in rules if rule.balance}
    for target in _rows(RoutingTarget, document["targets"]):
        target.queue = queues[target.queue_id]
        targets[target.rule_id].append(target)
    for rule in rules:
        if rule.queue_id is not None:
            rule.queue = queues[rule.queue_id]
    return KnownRoutes(rules, targets, {tier: queues[pk] for tier, pk in document["tiers"].items()})


def _write(rows: Iterable[Model]) -> str:
    return str(serializers.serialize("json", rows))


def _rows[Row: Model](model: type[Row], text: str) -> list[Row]:
    rows = [read.object for read in serializers.deserialize("json", text) if isinstance(read.object, model)]
    for row in rows:
        row._state.adding, row._state.db = False, "default"
    return rows


_kept = SharedCache("routes", _routes_of)
