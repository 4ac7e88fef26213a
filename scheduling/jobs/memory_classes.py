"""Memory classes: what kinds need, against what the children of pools have.

A kind says what it may need. What its jobs have needed decides nothing: a process's resident memory is also what it
shares with its parent, and a job that waits for what was once measured could not say why.
"""

from __future__ import annotations

from scheduling.exceptions import MemoryClassError
from scheduling.kit import registry
from scheduling.models import Queue, WorkerPool


def refuse_too_large(kind: str, queue: Queue) -> None:
    """Raise MemoryClassError where the queue's pool could never hold a job of the kind: it would wait for ever."""
    need = registry.memory_needs().get(kind, 0)
    if need and need > queue.pool.memory_mib:
        raise MemoryClassError(
            "%(kind)s may need %(need)s MiB; the workers of queue %(queue)s have %(memory)s MiB each."
            " Route it to a pool of a larger memory class.",
            {"kind": kind, "need": f"{need:,}", "queue": queue.name, "memory": f"{queue.pool.memory_mib:,}"},
        )


def kinds_beyond(pool: WorkerPool) -> list[str]:
    """The kinds of which the pool is handed nothing, sorted."""
    return [kind for kind, need in registry.memory_needs().items() if need > pool.memory_mib]
