"""Reads of workers, with the executions that each has begun and not ended."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from scheduling.exceptions import WorkerNotFoundError
from scheduling.models import LiveExecution, Worker
from tenants.context import all_tenants

# Executions that one page shows of a worker.
EXECUTION_LIMIT = 200


def list_workers() -> QuerySet[Worker]:
    """Workers with `running`, over the executions of the scope of the moment."""
    own = LiveExecution.objects.filter(worker_id=OuterRef("pk")).order_by().values("worker_id")
    running = own.annotate(running=Count("pk")).values("running")
    return Worker.objects.select_related("pool").annotate(
        running=Coalesce(Subquery(running, output_field=IntegerField()), 0)
    )


def get_worker(worker_id: UUID) -> Worker:
    """The worker of this id; `WorkerNotFoundError` for none."""
    worker = list_workers().filter(pk=worker_id).first()
    if worker is None:
        raise WorkerNotFoundError
    return worker


def list_current_executions(worker_id: UUID) -> Sequence[LiveExecution]:
    """What the worker runs now of the scope of the moment, the longest first; no more than a page can show."""
    rows = LiveExecution.objects.filter(worker_id=worker_id).select_related("tenant", "queue").order_by("started_at")
    return list(rows[:EXECUTION_LIMIT])


def find_running_workers(*, pool_name: str, hostname: str) -> list[tuple[int, UUID, int]]:
    """(process id, id, executions in hand) of a pool's workers on a machine that take jobs or drain."""
    with all_tenants():
        rows = list_workers().filter(
            pool__name=pool_name, hostname=hostname, status__in=(Worker.Status.ONLINE, Worker.Status.DRAINING)
        )
        return [(worker.pid, worker.pk, worker.running) for worker in rows]  # type: ignore[attr-defined]
