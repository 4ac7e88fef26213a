"""The resources of pools and queues: a queue stands in a pool that offers all that the queue needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.utils.translation import gettext

from scheduling.conf import UPKEEP_QUEUE
from scheduling.fleet.queries import live_workers
from scheduling.models import CFSPlanTier, Queue, Resource, WorkerPool
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError

_BY_CLASS: Final[Mapping[str, Sequence[str]]] = {
    WorkerPool.ResourceClass.CPU: (Resource.CPU, Resource.MEMORY),
    WorkerPool.ResourceClass.IO: (Resource.IO,),
}


def with_offers(pool: WorkerPool, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return new values of a pool with the resources that it will offer, in their usual order.

    No resources, or another resource class without resources, mean those of the class. Raise FieldInvalidError if the
    class does not fit them, or if a queue of the pool needs another one.
    """
    resource_class = values.get("resource_class", pool.resource_class)
    is_kept = pool.pk is not None and "offers" not in values and resource_class == pool.resource_class
    if is_kept or resource_class not in _BY_CLASS:
        return values
    offers = _ordered("offers", values.get("offers") or _BY_CLASS[resource_class])
    if resource_class == WorkerPool.ResourceClass.IO and (
        Resource.IO not in offers or {Resource.CPU, Resource.GPU} & set(offers)
    ):
        raise FieldInvalidError.at(
            "offers",
            gettext(
                "An I/O pool offers io, and neither cpu nor gpu, because its slots wait. Correct that, or choose "
                "another class."
            ),
        )
    _refuse_lost(pool, offers)
    return {**values, "offers": offers}


def with_needs(pool_id: int, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return new values of a queue of a pool with the resources that it needs, in their usual order.

    No resources mean the pool's resource class, or all that the pool offers if it does not offer that. Raise
    FieldInvalidError if the pool does not offer a resource. Lock the pool's row.
    """
    pool = WorkerPool.objects.select_for_update(no_key=True).get(pk=pool_id)
    usual = [pool.resource_class] if pool.resource_class in pool.offers else pool.offers
    needs = _ordered("needs", values.get("needs") or usual)
    if missing := [name for name in needs if name not in pool.offers]:
        facts = {"pool": pool.name, "offers": ", ".join(pool.offers), "missing": ", ".join(missing)}
        detail = gettext(
            "The pool %(pool)s offers %(offers)s, not %(missing)s. Choose another pool, or add that to its offers."
        )
        raise FieldInvalidError.at("needs", detail % facts)
    return {**values, "needs": needs}


def _ordered(field: str, names: Sequence[str]) -> list[str]:
    if set(names) - set(Resource.values):
        known = {"names": ", ".join(Resource.values)}
        raise FieldInvalidError.at(field, gettext("Use one or more of %(names)s.") % known)
    return [name for name in Resource.values if name in names]


def _refuse_lost(pool: WorkerPool, offers: Sequence[str]) -> None:
    lost = {
        queue.name: ", ".join(name for name in queue.needs if name not in offers)
        for queue in Queue.objects.filter(pool_id=pool.pk).exclude(needs__contained_by=list(offers))
    }
    if lost:
        queues = ", ".join(f"{name} ({missing})" for name, missing in lost.items())
        detail = gettext("Queues of the pool need what it would not offer: %(queues)s. Change what they need first.")
        raise FieldInvalidError.at("offers", detail % {"queues": queues})


def check_pool_class(pool: WorkerPool, resource_class: str) -> None:
    """Raise FieldInvalidError if the pool's stored resource class is another one and workers or queues need it."""
    is_io = resource_class == WorkerPool.ResourceClass.IO
    with all_tenants():
        running = live_workers().filter(pool_id=pool.pk).exclude(pool__resource_class=resource_class).count()
        queues = Queue.objects.filter(pool_id=pool.pk).exclude(pool__resource_class=resource_class)
        tiers = CFSPlanTier.objects.filter(plan__is_active=True)
        planned = list(
            queues.filter(pk__in=tiers.values("queue" if is_io else "io_queue")).values_list("name", flat=True)
        )
        has_upkeep = is_io and queues.filter(name=UPKEEP_QUEUE).exists()
    if running:
        raise FieldInvalidError.at(
            "resource_class",
            gettext("Workers of the pool are running (%(count)d). Stop them, then change the class.")
            % {"count": running},
        )
    if has_upkeep:
        raise FieldInvalidError.at(
            "resource_class",
            gettext("The pool has the queue of upkeep tasks, which need a CPU pool. Add another pool for I/O."),
        )
    if planned:
        raise FieldInvalidError.at(
            "resource_class",
            gettext(
                "The active CFS plan names queues of the pool: %(names)s. Name queues of another pool there, then "
                "change the class."
            )
            % {"names": ", ".join(planned)},
        )
