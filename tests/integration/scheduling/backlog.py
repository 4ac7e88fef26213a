"""Helpers for tests of moved backlogs."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from django.db.models import QuerySet

from scheduling.bulk.turns import open_operations, take_turn
from scheduling.dispatch.tick import run_tick
from scheduling.jobs.lifecycle import JobState
from scheduling.models import (
    BulkOperation,
    CFSPlan,
    FairShareNode,
    Job,
    JobDue,
    JobHeld,
    JobReady,
    LiveExecution,
    WorkerPool,
)
from scheduling.plans.service import activate_cfs_plan
from tenants.context import all_tenants
from tests.checks import faults_of


def activate(name: str) -> None:
    activate_cfs_plan(plan=CFSPlan.objects.get(name=name), reason="test")


def reroutes() -> QuerySet[BulkOperation]:
    """Return the operations that move the backlog, newest first; in a scope over all tenants."""
    return BulkOperation.objects.filter(operation=BulkOperation.Operation.REROUTE)


def move_turn() -> int:
    """Run a turn of the open reroute; return how many jobs have moved."""
    before = _count_moved()
    for opened in open_operations():
        take_turn(opened)
    return _count_moved() - before


def _count_moved() -> int:
    with all_tenants():
        return sum(reroutes().values_list("changed", flat=True))


def move_all(turns: int = 500) -> int:
    """Run turns until no reroute is open; return how many jobs have moved."""
    moved = 0
    for _ in range(turns):
        moved += move_turn()
        with all_tenants():
            if not reroutes().filter(finished_at__isnull=True).exists():
                return moved
    raise AssertionError("The reroute does not end.")


def queues_of(jobs: list[Job]) -> Counter[str]:
    with all_tenants():
        return Counter(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("queue__name", flat=True))


def places() -> Counter[UUID]:
    """Return how often each job is in a waiting table or in flight."""
    with all_tenants():
        found: Counter[UUID] = Counter()
        for table in (JobReady, JobDue, JobHeld, LiveExecution):
            found.update(table.objects.values_list("job_id", flat=True))
        return found


def assert_nothing_is_lost(pool: WorkerPool) -> None:
    run_tick(pool.pk)
    with all_tenants():
        open_states = (
            JobState.SCHEDULED,
            JobState.AVAILABLE,
            JobState.RETRYABLE,
            JobState.DISPATCHED,
            JobState.EXECUTING,
        )
        wanted = set(Job.objects.filter(state__in=open_states).values_list("pk", flat=True))
        misplaced = [
            row.job_id
            for table in (JobReady, JobDue, JobHeld)
            for row in table.objects.all()
            if FairShareNode.objects.get(pk=row.entity_id).queue_id != Job.objects.get(pk=row.job_id).queue_id
        ]
    found = places()
    assert set(found) == wanted
    assert set(found.values()) <= {1}
    assert misplaced == []
    assert faults_of("counters", "ready") == []
    assert faults_of("ledger") == []
