"""A fleet of real workers that grows with the work and shrinks without losing jobs."""

from __future__ import annotations

import platform as machine

from scheduling.fleet.queries import find_running_workers
from scheduling.fleet.workers import drain_worker, resume_worker
from scheduling.models import Worker
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import executions_of, submit, wait_for_all
from tests.acceptance.processes import ManagedProcess, eventually

JOBS, SECONDS = 12, 4


def workers_of(fleet: ManagedProcess, shared: int) -> list[int]:
    """Return the process ids of the fleet's workers that are online or draining."""
    assert fleet.is_running, fleet.log
    return [pid for pid, _, _ in find_running_workers(pool_name="default", hostname=machine.node()) if pid != shared]


def test_fleet_grows_with_backlog_and_shrinks_without_interrupting_jobs(platform: Platform, acme: Tenant) -> None:
    shared = platform.worker
    assert shared is not None
    with all_tenants():
        row = Worker.objects.get(pid=shared.pid, stopped_at=None)
    # All jobs are left to the fleet.
    drain_worker(worker_id=row.pk, reason="let the fleet work")
    try:
        fleet = platform.start(
            "autoscale_workers",
            "--pool=default",
            "--min=1",
            "--max=3",
            "--slots=1",
            "--target-seconds=1",
            "--patience-seconds=2",
        )
        eventually(lambda: len(workers_of(fleet, shared.pid)) == 1, within=START_SECONDS, what="one worker is there")
        jobs = submit(acme, "sleep", *[{"seconds": SECONDS}] * JOBS)
        eventually(lambda: len(workers_of(fleet, shared.pid)) == 3, within=START_SECONDS, what="three exist")
        wait_for_all(jobs, within=START_SECONDS)
        eventually(lambda: len(workers_of(fleet, shared.pid)) == 1, within=START_SECONDS, what="one remains")
        assert [[one.outcome for one in executions_of(job)] for job in jobs] == [["completed"]] * JOBS
        with all_tenants():
            assert AuditLogEntry.objects.filter(action="worker.draining", reason="the pool has less work").count() == 2
        fleet.stop()
        with all_tenants():
            assert not Worker.objects.filter(pool__name="default", stopped_at=None).exclude(pk=row.pk).exists()
    finally:
        resume_worker(worker_id=row.pk)


def test_unknown_pool_is_named_in_the_error(platform: Platform) -> None:
    refused = platform.start("autoscale_workers", "--pool=nowhere", "--max=2")
    assert refused.wait() != 0
    assert "There is no worker pool 'nowhere'; there are: default" in refused.log
