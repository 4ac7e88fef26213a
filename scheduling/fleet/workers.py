"""Services that register, drain, resume and retire workers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from scheduling.conf import UPKEEP_QUEUE
from scheduling.dispatch.broker import wake_on_commit
from scheduling.exceptions import WorkerNotFoundError, WorkerNotRunningError
from scheduling.fleet.announced_kinds import refresh_announced_kinds
from scheduling.fleet.slots import default_slots
from scheduling.kit import registry
from scheduling.models import Queue, Worker, WorkerPool
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.ids import uuid7
from tenants.database.reads import first_or_raise
from tenants.exceptions import DomainError
from tenants.translation import LocalizableText


class WorkerPoolNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such worker pool")


class WorkerPoolUnfitError(DomainError):
    code, category, title = "conflict", "conflict", gettext_noop("The worker pool has another resource class or region")


@dataclass(frozen=True, slots=True)
class Registration:
    """Facts about a registered worker; ``slots`` is how many jobs it runs at once.

    ``is_io``: it runs coroutines, and only kinds with them. ``memory_mib`` is the most memory of one of its processes.
    """

    worker_id: UUID
    pool_id: int
    queue_names: tuple[str, ...]
    hostname: str
    pid: int
    slots: int
    version: str
    kinds: tuple[str, ...] = ()
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    is_io: bool = False
    memory_mib: int = 0


def register_worker(
    *,
    pool_name: str,
    hostname: str,
    pid: int,
    slots: int | None,
    version: str = "",
    sandbox: Mapping[str, Any] | None = None,
    needs_io: bool = False,
    region: str = "",
) -> Registration:
    """Register a worker of a pool with the job kinds of this process; the dispatcher uses its slots from now on.

    Without ``slots`` it has those that suit its pool and machine. A worker of an I/O pool runs asynchronous kinds only.
    ``sandbox`` describes the protections that its host offers for the extraction of files. Raise
    WorkerPoolNotFoundError for an unknown pool, and WorkerPoolUnfitError if ``needs_io`` and it is no I/O pool, if it
    is one and has the queue of upkeep, or if ``region`` is given and is not the pool's.
    """
    with all_tenants():
        pool = _lock_pool(pool_name)
        queue_names = tuple(Queue.objects.filter(pool=pool).values_list("name", flat=True))
        _refuse_unfit(pool, queue_names, needs_io=needs_io, region=region)
        is_io = pool.resource_class == WorkerPool.ResourceClass.IO
        registration = Registration(
            uuid7(),
            pool.pk,
            queue_names,
            hostname[:200],
            pid,
            slots or default_slots(is_io=is_io, memory_mib=pool.memory_mib),
            version[:40],
            tuple(kind for kind in registry.kinds() if not is_io or registry.resource_class(kind) == "io"),
            sandbox or {},
            is_io,
            pool.memory_mib,
        )
        restore_worker_row(registration=registration)
    return registration


def _lock_pool(name: str) -> WorkerPool:
    """Return the pool; its region cannot change until the worker's row shows that the pool has a worker."""
    pool = WorkerPool.objects.select_for_update(no_key=True).filter(name=name).first()
    if pool is None:
        known = ", ".join(WorkerPool.objects.values_list("name", flat=True))
        raise WorkerPoolNotFoundError(
            "There is no worker pool %(name)r; there are: %(known)s.", {"name": name, "known": known}
        )
    return pool


def _refuse_unfit(pool: WorkerPool, queue_names: Collection[str], *, needs_io: bool, region: str) -> None:
    is_io = pool.resource_class == WorkerPool.ResourceClass.IO
    if needs_io and not is_io:
        raise WorkerPoolUnfitError("Only an I/O pool has processes; %(name)s is none.", {"name": pool.name})
    if is_io and UPKEEP_QUEUE in queue_names:
        raise WorkerPoolUnfitError("An I/O pool cannot have the queue %(name)s.", {"name": UPKEEP_QUEUE})
    if region and region != pool.region:
        raise WorkerPoolUnfitError(
            "This worker is in the region %(own)s, and the pool %(name)s is in %(region)s. Serve a pool of its own "
            "region, or start it without a region.",
            {"own": region, "name": pool.name, "region": pool.region or "none"},
        )


def restore_worker_row(*, registration: Registration) -> None:
    """Insert the worker's row if it is missing: at its start, or when a backup of the database was restored."""
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
                    sandbox=dict(registration.sandbox),
                    queues=list(registration.queue_names),
                    kinds=list(registration.kinds),
                    started_at=Now(),
                    heartbeat_at=Now(),
                )
            ],
            ignore_conflicts=True,
        )
        refresh_announced_kinds()


def retire_worker(*, worker_id: UUID, reason: str = "") -> None:
    """Mark the worker as stopped, so that its slots no longer count.

    ``reason`` is the cause of a stop that was not requested.
    """
    with all_tenants():
        Worker.objects.filter(pk=worker_id).update(status=Worker.Status.STOPPED, stopped_at=Now(), stop_reason=reason)


def drain_worker(*, worker_id: UUID, reason: str = "") -> None:
    """Stop dispatching to the worker; running jobs continue. It stops fetching messages at its next heartbeat."""
    _switch(worker_id, Worker.Status.ONLINE, Worker.Status.DRAINING, "worker.draining", reason)


def resume_worker(*, worker_id: UUID, reason: str = "") -> None:
    """Dispatch to a draining worker again."""
    _switch(worker_id, Worker.Status.DRAINING, Worker.Status.ONLINE, "worker.resumed", reason)


def _switch(worker_id: UUID, before: Worker.Status, after: Worker.Status, action: str, reason: str) -> None:
    with all_tenants():
        worker = first_or_raise(Worker.objects.select_for_update(no_key=True).filter(pk=worker_id), WorkerNotFoundError)
        if worker.status == after:
            return
        if worker.status != before:
            raise WorkerNotRunningError(
                "A worker that is %(status)s cannot be switched to %(wanted)s.",
                {"status": LocalizableText(worker.status), "wanted": LocalizableText(after.value)},
            )
        worker.status = after
        worker.save(update_fields=["status"])
        record_audit(
            action=action, target=worker, before={"status": before.value}, after={"status": after.value}, reason=reason
        )
        wake_on_commit()
