"""Memory of kinds and pools: a queue whose pool has too little memory for a kind is refused.

The kind declares its need. Measured memory of its jobs is not used: a process's resident memory includes what it shares
with its parent, and a wait for a measured need could not be explained.
"""

from __future__ import annotations

from scheduling.exceptions import MemoryClassError
from scheduling.kit import registry
from scheduling.models import Queue, WorkerPool


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
