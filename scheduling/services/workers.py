"""Workers as rows: who is there, with how many slots, and since when not any more."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models.functions import Now

from scheduling.models import Queue, Worker, WorkerPool
from tenants.context import all_tenants
from tenants.exceptions import DomainError
from tenants.ids import uuid7


class PoolNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", "There is no such worker pool"


@dataclass(frozen=True, slots=True)
class Registration:
    """A worker as it presents itself; ``slots`` is the number of jobs it runs at once."""

    worker_id: UUID
    pool_id: int
    queue_names: tuple[str, ...]
    hostname: str
    pid: int
    slots: int
    version: str


def register_worker(*, pool_name: str, hostname: str, pid: int, slots: int, version: str = "") -> Registration:
    """Enter a worker of a pool; the dispatcher counts its slots from now on."""
    with all_tenants():
        pool = WorkerPool.objects.filter(name=pool_name).first()
        if pool is None:
            known = ", ".join(WorkerPool.objects.values_list("name", flat=True))
            raise PoolNotFoundError(f"There is no worker pool {pool_name!r}; there are: {known}.")
        queue_names = tuple(Queue.objects.filter(pool=pool).values_list("name", flat=True))
        registration = Registration(uuid7(), pool.pk, queue_names, hostname[:200], pid, slots, version[:40])
        enter_again(registration=registration)
    return registration


def enter_again(*, registration: Registration) -> None:
    """Put the worker's row there if it is not: at the start, or after a restored backup lost it."""
    with all_tenants():
        Worker.objects.bulk_create(
            [
                Worker(
                    id=registration.worker_id,
                    pool_id=registration.pool_id,
                    hostname=registration.hostname,
                    pid=registration.pid,
                    slots=registration.slots,
                    version=registration.version,
                    started_at=Now(),
                    heartbeat_at=Now(),
                )
            ],
            ignore_conflicts=True,
        )


def retire_worker(*, worker_id: UUID, reason: str = "") -> None:
    """The worker has stopped; its slots are gone. ``reason`` is given where nobody asked it to stop."""
    with all_tenants():
        Worker.objects.filter(pk=worker_id).update(status=Worker.Status.STOPPED, stopped_at=Now(), stop_reason=reason)
