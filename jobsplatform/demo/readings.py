"""Queries of the demonstration over all tenants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Now

from jobsplatform.demo.measures import Run
from scheduling.jobs.lifecycle import DEAD_STATES, IN_FLIGHT_STATES, TERMINAL_STATES, JobState
from scheduling.models import DeadLetter, Execution, Job, Worker
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of a tenant's jobs by state; ``failed`` are dead letters."""

    submitted: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    ended: int = 0

    @property
    def waiting(self) -> int:
        return self.submitted - self.running - self.ended


@dataclass(frozen=True, slots=True)
class EndedExecution:
    """Execution that has ended, with its measured slot time."""

    tenant_id: UUID
    measured_us: int


def read_counts(tenant_ids: Iterable[UUID]) -> dict[UUID, Counts]:
    """Return the numbers of each tenant's jobs by state, in one query."""
    with all_tenants():
        rows = (
            Job.objects.filter(tenant_id__in=list(tenant_ids))
            .order_by()
            .values_list("tenant_id")
            .annotate(
                submitted=Count("id"),
                running=Count("id", filter=Q(state__in=IN_FLIGHT_STATES)),
                completed=Count("id", filter=Q(state=JobState.COMPLETED)),
                failed=Count("id", filter=Q(state__in=DEAD_STATES)),
                ended=Count("id", filter=Q(state__in=TERMINAL_STATES)),
            )
        )
        return {tenant_id: Counts(*numbers) for tenant_id, *numbers in rows}


def read_runs(tenant_ids: Sequence[UUID]) -> list[Run]:
    """Return the ended jobs that were started, with the times of their executions, relative to the first arrival."""
    with all_tenants():
        rows = list(
            Job.objects.filter(tenant_id__in=tenant_ids, state__in=TERMINAL_STATES, started_at__isnull=False)
            .order_by("created_at", "id")
            .values_list("id", "tenant_id", "created_at", "started_at", "finished_at")
        )
        used = {
            job_id: (cost_us, held)
            for job_id, cost_us, held in Execution.objects.filter(tenant_id__in=tenant_ids)
            .values("job_id")
            .annotate(cost_us=Sum("measured_us"), held=Sum(F("ended_at") - F("dispatched_at")))
            .values_list("job_id", "cost_us", "held")
        }
    if not rows:
        return []
    origin = rows[0][2]
    return [
        Run(
            tenant_id=tenant_id,
            arrived_us=_microseconds(created - origin),
            started_us=_microseconds(started - origin),
            ended_us=_microseconds(ended - origin),
            cost_us=used[job_id][0],
            held_us=_microseconds(used[job_id][1]),
        )
        for job_id, tenant_id, created, started, ended in rows
        if started is not None and ended is not None  # guaranteed by the filter, for the type checker
    ]


def read_executions(tenant_ids: Iterable[UUID]) -> list[EndedExecution]:
    """Return the ended executions that were started, in the order of their dispatch."""
    with all_tenants():
        executions = Execution.objects.filter(tenant_id__in=list(tenant_ids), started_at__isnull=False)
        rows = executions.order_by("dispatched_at", "started_at").values_list("tenant_id", "measured_us")
        return [EndedExecution(*row) for row in rows]


def read_death_reasons(tenant_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return the error message of each dead letter by the id of its job."""
    with all_tenants():
        letters = DeadLetter.objects.filter(tenant_id__in=list(tenant_ids))
        return {letter.job_id: letter.error_message for letter in letters}


def read_slots(pool: str) -> int:
    """Return the number of slots of the pool's online workers whose last heartbeat is within the lease."""
    heard_since = Now() - timedelta(seconds=platform_settings.LEASE_SECONDS)
    workers = Worker.objects.filter(pool__name=pool, status=Worker.Status.ONLINE, heartbeat_at__gt=heard_since)
    return workers.aggregate(slots=Sum("slots"))["slots"] or 0


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
