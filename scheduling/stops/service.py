"""Services that pause, drain and resume a queue, kind, tenant or pool given by name, for commands and the API."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from scheduling.exceptions import TargetNotFoundError
from scheduling.kit import registry
from scheduling.models import Queue, WorkerPool
from scheduling.stops import pauses
from tenants.tenancy.queries import find_tenant
from tenants.tenancy.service import drain_tenant, pause_tenant, resume_tenant


class StopScope(StrEnum):
    """Type of a target that can be paused and drained."""

    QUEUE = "queue"
    KIND = "kind"
    TENANT = "tenant"
    POOL = "pool"


def pause(*, scope: StopScope, name: str, reason: str, until: datetime | None = None) -> None:
    """Pause a queue, kind, tenant or pool until ``until`` or until it is resumed."""
    match scope:
        case StopScope.QUEUE:
            pauses.pause_queue(queue=find_queue(name), reason=reason, until=until)
        case StopScope.KIND:
            pauses.pause_kind(kind=name, reason=reason, until=until)
        case StopScope.TENANT:
            pause_tenant(tenant=find_tenant(name), reason=reason, until=until)
        case StopScope.POOL:
            pauses.pause_pool(pool=find_pool(name), reason=reason, until=until)


def drain(*, scope: StopScope, name: str, reason: str, until: datetime | None = None) -> None:
    """Drain a queue, kind, tenant or pool until ``until`` or until it is resumed."""
    match scope:
        case StopScope.QUEUE:
            pauses.drain_queue(queue=find_queue(name), reason=reason, until=until)
        case StopScope.KIND:
            pauses.drain_kind(kind=name, reason=reason, until=until)
        case StopScope.TENANT:
            drain_tenant(tenant=find_tenant(name), reason=reason, until=until)
        case StopScope.POOL:
            pauses.drain_pool(pool=find_pool(name), reason=reason, until=until)


def resume(*, scope: StopScope, name: str, reason: str = "") -> None:
    """End the pause and the drain of a queue, kind, tenant or pool, if any."""
    match scope:
        case StopScope.QUEUE:
            pauses.resume_queue(queue=find_queue(name), reason=reason)
        case StopScope.KIND:
            pauses.resume_kind(kind=name, reason=reason)
        case StopScope.TENANT:
            resume_tenant(tenant=find_tenant(name), reason=reason)
        case StopScope.POOL:
            pauses.resume_pool(pool=find_pool(name), reason=reason)


def check_target(*, scope: StopScope, name: str) -> None:
    """Raise TargetNotFoundError or TenantNotFoundError if there is no queue, kind, tenant or pool of this name."""
    match scope:
        case StopScope.QUEUE:
            find_queue(name)
        case StopScope.KIND:
            if name not in registry.kinds():
                raise TargetNotFoundError("There is no job kind %(name)r.", {"name": name})
        case StopScope.TENANT:
            find_tenant(name)
        case StopScope.POOL:
            find_pool(name)


def find_queue(name: str) -> Queue:
    """Return the queue of this name with its pool; raise TargetNotFoundError if there is none."""
    queue = Queue.objects.select_related("pool").filter(name=name).first()
    if queue is None:
        raise TargetNotFoundError("There is no queue %(name)r.", {"name": name})
    return queue


def find_pool(name: str) -> WorkerPool:
    """Return the pool of this name; raise TargetNotFoundError if there is none."""
    pool = WorkerPool.objects.filter(name=name).first()
    if pool is None:
        raise TargetNotFoundError("There is no worker pool %(name)r.", {"name": name})
    return pool
