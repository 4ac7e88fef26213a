"""Preloading in the parent, before the fork, of what the children of a pool share."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping, Sequence

from django.db.models.functions import Coalesce

from scheduling.kit import registry
from scheduling.models import CFSPlanTier, Queue, RoutingRule
from tenants.context import all_tenants

logger = logging.getLogger(__name__)


def preload_kinds(pool_id: int) -> list[str]:
    """Call `TaskProcessor.preload` of every kind whose jobs may reach the pool; return the kinds that succeeded.

    A kind that cannot load is left to fail job by job, so that it affects no other.
    """
    loaded = []
    for kind in kinds_served(pool_id):
        try:
            registry.get(kind).preload()
        except Exception:
            logger.exception("worker.preload_failed", extra={"kind": kind})
        else:
            loaded.append(kind)
    return loaded


def freeze_garbage_collector() -> None:
    """Exclude the objects that exist before the fork from garbage collection.

    A full collection would touch, and so copy, each page that the children share, in the middle of some job.
    """
    gc.collect()
    gc.freeze()


def kinds_served(pool_id: int) -> list[str]:
    """Return the kinds that the routing rules may send to a queue of the pool."""
    with all_tenants():
        queues = set(Queue.objects.filter(pool_id=pool_id).values_list("pk", flat=True))
        names = dict(Queue.objects.values_list("name", "pk"))
        rules = list(RoutingRule.objects.filter(is_active=True).order_by("position").prefetch_related("targets"))
        tiers = CFSPlanTier.objects.filter(plan__is_active=True)
        of_tiers = {
            "cpu": set(tiers.values_list("queue_id", flat=True)),
            "io": set(tiers.values_list(Coalesce("io_queue_id", "queue_id"), flat=True)),
        }
    return [
        kind
        for kind in registry.kinds()
        if _targets(kind, rules, of_tiers[registry.resource_class(kind)], names) & queues
    ]


def _targets(kind: str, rules: Sequence[RoutingRule], tier_queues: set[int], queue_ids: Mapping[str, int]) -> set[int]:
    """Return the ids of the queues that a job of the kind can be routed to, whatever its tier and payload."""
    default = registry.default_queue(kind)
    targets: set[int] = set()
    for rule in rules:
        if rule.kind not in {"", kind}:
            continue
        if default and not rule.kind:
            targets |= {queue_ids[default]} if default in queue_ids else set()
        elif rule.balance:
            targets |= {target.queue_id for target in rule.targets.all()}
        else:
            targets |= {rule.queue_id} if rule.queue_id is not None else tier_queues
        if rule.tier_id is None and not rule.condition:
            break
    return targets
