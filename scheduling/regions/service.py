"""Enforcement of residency when it changes: jobs that were dispatched to a region elsewhere become available again."""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext, gettext_noop

from scheduling.bulk.reroute import extend_reroute
from scheduling.dispatch.tick import stop_ticks
from scheduling.dispatch.wakes import wake_pool
from scheduling.execution.settlement import settle_here
from scheduling.execution.settlement_builders import returned
from scheduling.models import LiveExecution, Worker, WorkerPool
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.exceptions import FieldInvalidError
from tenants.signals import tenant_regions_changed

_LOCK_ELSEWHERE = load_sql(__file__)["lock_elsewhere"]
CAUSE = gettext_noop("the regions of the tenant have changed")


def enforce_regions(*, tenant_id: UUID, cause: str = CAUSE) -> int:
    """Return the tenant's dispatched executions that no worker has begun in regions that are no longer allowed.

    Return how many; ``cause`` is a text for their events. Call it in the transaction of the change: no tick runs until
    that ends, so no job is dispatched by the former regions. Executions that have begun continue. A reroute then moves
    waiting jobs to allowed queues.
    """
    stop_ticks(list(WorkerPool.objects.order_by("pk").values_list("pk", flat=True)))
    found = fetch_all(_LOCK_ELSEWHERE, {"tenant_id": tenant_id})
    if found:
        settle_here([returned(row.id, row.fence, cause=cause) for row in found], actor="system")
    extend_reroute(cause="the regions of a tenant or of its data have changed")
    return len(found)


def follow_region(pool: WorkerPool) -> None:
    """Let the lines of the pool's queues be read again, because its region has changed.

    Raise FieldInvalidError while the pool has a worker or a dispatched job: these would be in another region than the
    pool. Call it in the transaction of the change, with the pool's row locked.
    """
    stop_ticks([pool.pk])
    workers = Worker.objects.filter(pool=pool).exclude(status=Worker.Status.STOPPED).count()
    jobs = LiveExecution.objects.filter(pool_id=pool.pk).count()
    if workers or jobs:
        detail = gettext(
            "The pool has workers (%(workers)d) and jobs in flight (%(jobs)d). Drain and stop the workers, then change "
            "the region; or add a pool in the other region."
        )
        raise FieldInvalidError.at("region", detail % {"workers": workers, "jobs": jobs})
    wake_pool(pool.pk)


def connect_region_signals() -> None:
    """Connect `enforce_regions` to the signal that a tenant's regions have changed."""

    def on_change(*, tenant_id: UUID, **_: object) -> None:
        enforce_regions(tenant_id=tenant_id)

    tenant_regions_changed.connect(on_change, weak=False, dispatch_uid="scheduling.regions.listen_to_tenants")
