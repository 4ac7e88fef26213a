"""Resources of kinds and pools: a queue counts for a kind only if its pool offers all that the kind needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from django.utils.translation import gettext, gettext_noop

from scheduling.exceptions import RouteMissingError
from scheduling.kit import registry
from scheduling.models import Queue
from scheduling.regions.exceptions import RegionNotAllowedError
from tenants.exceptions import DomainError


class ResourceNotOfferedError(DomainError):
    code, category = "resource_not_offered", "invalid"
    title = gettext_noop("No queue of this job has a pool that offers what its kind needs")


# Why no queue is right for a job.
UNROUTABLE: Final = (RouteMissingError, ResourceNotOfferedError, RegionNotAllowedError)


def queues_offering(kind: str, queues: Sequence[Queue]) -> Sequence[Queue]:
    """Return the queues whose pools offer all that a kind needs; raise ResourceNotOfferedError if there is none."""
    needs = registry.needs(kind)
    found = [queue for queue in queues if all(name in queue.pool.offers for name in needs)]
    if not found:
        values = {"kind": kind, "needs": ", ".join(sorted(needs)), "queues": _describe(needs, queues)}
        raise ResourceNotOfferedError(
            "%(kind)s needs %(needs)s, and the routing rules send it to: %(queues)s. Name a queue of a pool that "
            "offers all of that in a routing rule, or add it to the offers of a pool that has it.",
            values,
        )
    return found


def _describe(needs: Collection[str], queues: Sequence[Queue]) -> str:
    described = {
        gettext("%(queue)s (the pool %(pool)s offers %(offers)s, not %(missing)s)")
        % {
            "queue": queue.name,
            "pool": queue.pool.name,
            "offers": ", ".join(queue.pool.offers),
            "missing": ", ".join(sorted(name for name in needs if name not in queue.pool.offers)),
        }
        for queue in queues
    }
    return ", ".join(sorted(described))
