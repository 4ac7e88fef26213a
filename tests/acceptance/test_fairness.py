"""Worker time of tenants, measured on real executions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest
from django.db import transaction

from scheduling.models import Execution, Job, JobEvent, Queue
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.tenancy.service import pause_tenant, resume_tenant, update_tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import submit, wait_for_all
from tests.acceptance.processes import eventually
from tests.checks import faults_of

# One job more or less of the tenant with the least weight is one in ninety.
DISPATCHES = 600
# Weights of the plans sandbox, team and professional.
WEIGHTS = (1, 2, 4)
ENDINGS = ("execution.completed", "execution.failed", "execution.crashed", "job.cancelled")


@pytest.mark.slow
def test_backlogged_tenants_share_worker_seconds_by_their_weights(
    platform: Platform, globex: Tenant, acme: Tenant, initech: Tenant
) -> None:
    tenants = (globex, acme, initech)
    # A tenant's first jobs are charged the expected cost of an unknown kind; these update the prediction.
    wait_for_all([job for tenant in tenants for job in submit(tenant, "sleep", *[{"seconds": 0.1}] * 3)])
    for tenant in tenants:
        pause_tenant(tenant=tenant, reason="until all three are backlogged")
    jobs = [
        # Enough that no tenant runs out before DISPATCHES, in any order.
        job
        for tenant, weight in zip(tenants, WEIGHTS, strict=True)
        for job in submit(tenant, "sleep", *[{"seconds": 0.1}] * (DISPATCHES * weight // sum(WEIGHTS) + 30))
    ]
    # By one commit: a tenant that is resumed later is owed nothing for the time before.
    with transaction.atomic():
        for tenant in tenants:
            resume_tenant(tenant=tenant)
    wait_for_all(jobs, within=300)
    seconds = worker_seconds_of_first_dispatches(jobs, tenants)
    for tenant_seconds, weight in zip(seconds, WEIGHTS, strict=True):
        share, entitlement = tenant_seconds / sum(seconds), weight / sum(WEIGHTS)
        assert abs(share - entitlement) <= 0.05 * entitlement, (seconds, share, entitlement)
    assert faults_of("ledger") == []


def test_tenant_cap_is_never_exceeded(platform: Platform, acme: Tenant, globex: Tenant, initech: Tenant) -> None:
    caps = {acme: 1, globex: 2, initech: 1}
    for tenant, cap in caps.items():
        update_tenant(tenant=tenant, changes={"max_concurrency": cap})
    # As many slots as all caps together, before any job: slots are never the limit.
    platform.start_worker(concurrency=2)
    jobs = {tenant: submit(tenant, "sleep", *[{"seconds": 0.05}] * 15) for tenant in caps}
    wait_for_all([job for of_tenant in jobs.values() for job in of_tenant])
    for tenant, cap in caps.items():
        assert most_at_once(jobs[tenant]) == cap


def test_queue_cap_is_never_exceeded(platform: Platform, acme: Tenant) -> None:
    queue = Queue.objects.get(name="tasks_team")
    set_queue_cap(queue, 1)
    try:
        jobs = submit(acme, "sleep", *[{"seconds": 0.05}] * 12)
        wait_for_all(jobs)
    finally:
        set_queue_cap(queue, None)
    assert most_at_once(jobs) == 1


def test_raised_cap_takes_effect_while_jobs_wait(platform: Platform, acme: Tenant) -> None:
    update_tenant(tenant=acme, changes={"max_concurrency": 1})
    jobs = submit(acme, "sleep", *[{"seconds": 0.3}] * 12)
    eventually(lambda: most_at_once(jobs) == 1, what="one runs")
    update_tenant(tenant=acme, changes={"max_concurrency": 3})
    wait_for_all(jobs)
    assert most_at_once(jobs) == 3


def set_queue_cap(queue: Queue, cap: int | None) -> None:
    with all_tenants():
        Queue.objects.filter(pk=queue.pk).update(cap=cap)


def worker_seconds_of_first_dispatches(jobs: Sequence[Job], tenants: Sequence[Tenant]) -> list[float]:
    """Return the measured seconds by tenant of the first DISPATCHES dispatched executions."""
    with all_tenants():
        rows = list(
            Execution.objects.filter(job_id__in=[job.pk for job in jobs])
            .order_by("dispatched_at", "id")
            .values_list("tenant_id", "measured_us")[:DISPATCHES]
        )
    assert len(rows) == DISPATCHES
    return [sum(us for tenant_id, us in rows if tenant_id == tenant.pk) / 1_000_000 for tenant in tenants]


def most_at_once(jobs: Sequence[Job]) -> int:
    """Return the maximum of concurrently running jobs, by the intervals of their events."""
    with all_tenants():
        events = JobEvent.objects.filter(job_id__in=[job.pk for job in jobs]).values_list("at", "name")
        changes: list[tuple[datetime, int]] = [(at, 1) for at, name in events if name == "execution.started"]
        changes += [(at, -1) for at, name in events if name in ENDINGS]
    most = running = 0
    # Ends sort before starts of the same time.
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most
