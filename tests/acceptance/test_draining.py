"""A worker is drained under load: it finishes its jobs, fetches none, and exits or resumes."""

from __future__ import annotations

import pytest

from scheduling.fleet.queries import live_workers
from scheduling.fleet.workers import drain_worker, resume_worker
from scheduling.models import Worker
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import executions_of, fetch, submit, wait_for
from tests.acceptance.processes import ManagedProcess, eventually

pytestmark = pytest.mark.core


def row_of(process: ManagedProcess) -> Worker:
    with all_tenants():
        return Worker.objects.get(pid=process.pid)


def is_only_one() -> bool:
    """Return whether the leases of the workers that earlier tests killed are over: until then their slots count."""
    with all_tenants():
        return live_workers().count() == 1


def test_drained_worker_finishes_its_job_and_fetches_again_when_resumed(platform: Platform, acme: Tenant) -> None:
    worker = platform.worker
    assert worker is not None
    eventually(is_only_one, what="no other worker counts")
    (running,) = submit(acme, "sleep", {"seconds": 6})
    wait_for(running, "executing")
    drain_worker(worker_id=row_of(worker).pk, reason="scale in")
    eventually(lambda: "worker.draining" in worker.log, what="the worker has stopped fetching")
    (waiting,) = submit(acme, "noop")
    wait_for(running, "completed")
    assert fetch(waiting).state == "available"
    assert worker.is_running
    resume_worker(worker_id=row_of(worker).pk)
    wait_for(waiting, "completed")


def test_worker_with_exit_when_drained_exits_with_status_0(platform: Platform, acme: Tenant) -> None:
    leaving = platform.start("run_worker", "--pool=default", "--slots=1", "--exit-when-drained")
    eventually(lambda: " ready." in leaving.log, within=150, what="the worker is ready")
    shared = platform.worker
    assert shared is not None
    drains = shared.log.count("worker.draining")
    drain_worker(worker_id=row_of(shared).pk, reason="let the other one work")
    eventually(lambda: shared.log.count("worker.draining") > drains, what="the shared worker has stopped fetching")
    (running,) = submit(acme, "sleep", {"seconds": 4})
    wait_for(running, "executing")
    drain_worker(worker_id=row_of(leaving).pk, reason="scale in")
    assert leaving.wait() == 0
    wait_for(running, "completed")
    assert [execution.outcome for execution in executions_of(running)] == ["completed"]
    assert row_of(leaving).status == Worker.Status.STOPPED
    resume_worker(worker_id=row_of(shared).pk)
