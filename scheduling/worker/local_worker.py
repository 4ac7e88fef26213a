"""The worker that this process belongs to; created in the parent process, and inherited by its children."""

from __future__ import annotations

from dataclasses import dataclass

from scheduling.fleet.workers import Registration
from scheduling.worker.control_block import ControlBlock
from scheduling.worker.slots import SlotSemaphore


class NoWorkerError(RuntimeError):
    """A job arrived in a process that `manage.py run_worker` did not start, so its lease would not be renewed."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


@dataclass(frozen=True, slots=True)
class LocalWorker:
    """The worker that this process belongs to: its registration, and the memory that its processes share."""

    registration: Registration
    block: ControlBlock
    permits: SlotSemaphore

    @classmethod
    def of(cls, registration: Registration, *, spare_children: int = 0) -> LocalWorker:
        """Create the shared memory for a registered worker with a child for each slot, plus the spare children."""
        permits = SlotSemaphore(registration.slots, spare_children=spare_children)
        return cls(registration, ControlBlock(permits.children, slots=permits.slots), permits)


_local: LocalWorker | None = None


def set_local_worker(worker: LocalWorker) -> None:
    """Make ``worker`` the worker of this process and of the children forked from it."""
    global _local  # noqa: PLW0603 - set once before the fork; Celery passes tasks no object of ours
    _local = worker


def is_worker() -> bool:
    """Return whether `manage.py run_worker` started this process or its parent."""
    return _local is not None


def local_worker() -> LocalWorker:
    """Return the worker that this process belongs to; raise NoWorkerError without one."""
    if _local is None:
        raise NoWorkerError
    return _local
