"""What kinds need of pools: resources, by which their queues count, and memory, for want of which jobs are refused.

The kind declares its needs. Measured memory of its jobs is not used: a process's resident memory includes what it
shares with its parent, and a wait for a measured need could not be explained.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from django.utils.translation import gettext, gettext_noop

from scheduling.exceptions import MemoryClassError, RouteMissingError
from scheduling.kit import registry
from scheduling.models import Queue, WorkerPool
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
    found = [queue for queue in queues if needs.issubset(queue.pool.offers)]
    if not found:
        values = {"kind": kind, "needs": ", ".join(sorted(needs)), "queues": _describe(needs, queues)}
        raise ResourceNotOfferedError(
            "%(kind)s needs %(needs)s, and the routing rules send it to: %(queues)s. Name a queue of a pool that "
            "offers all of that in a routing rule, or add it to the offers of a pool that has it.",
            values,
        )
    return found


def refuse_too_large(kind: str, queue: Queue) -> None:
    """Raise MemoryClassError if the kind needs more memory than a process of the queue's pool has."""
    need = registry.memory_needs().get(kind, 0)
    if need and need > queue.pool.memory_mib:
        raise MemoryClassError(
            "%(kind)s may need %(need)s MiB; a worker process of queue %(queue)s has %(memory)s MiB. "
            "Route it to a pool of a larger memory class.",
            {"kind": kind, "need": f"{need:,}", "queue": queue.name, "memory": f"{queue.pool.memory_mib:,}"},
        )


def kinds_beyond(pool: WorkerPool) -> list[str]:
    """Return the kinds that need more memory than a process of the pool has."""
    return [kind for kind, need in registry.memory_needs().items() if need > pool.memory_mib]


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
