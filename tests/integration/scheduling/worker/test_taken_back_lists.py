"""Take-back of a list that a child is running."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduling.dispatch.take_back import take_back_held
from scheduling.dispatch.tick import run_tick
from scheduling.execution.start import start_executions
from scheduling.kit.base import JobContext
from scheduling.models import Execution, LiveExecution, Worker, WorkerPool
from scheduling.stops.pauses import pause_kind
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import Merge, RunMerged, outcomes
from tests.integration.scheduling.worker.test_holds import locked
from tests.integration.scheduling.worker.test_merged import check_unblamed, states
from tests.predictions import predict

pytestmark = pytest.mark.django_db(transaction=True)

type SetProcessor = Callable[..., None]
JOB_US = 5_000


def take_back() -> int:
    """Tick the pool as if it had one slot, and take back."""
    pool = WorkerPool.objects.get(name="default")
    with all_tenants():
        Worker.objects.update(slots=1)
    result = run_tick(pool.pk)
    assert (result.has_held, result.dispatched) == (True, 0)
    return take_back_held(pool.pk).count


def test_quiet_tenant_arrives_while_a_list_runs(acme: Tenant, run_list: RunMerged, set_processor: SetProcessor) -> None:
    other = create_tenant(slug="team-0", plan="team")
    predict("scripted", JOB_US)
    returned: list[int] = []

    def process(context: JobContext) -> None:
        if not returned:
            submit(other, kind="scripted")
            returned.append(take_back())

    set_processor(process)
    jobs = run_list(submit(acme, 5, kind="scripted"))
    assert returned == [3]
    assert states(jobs) == ["completed", "completed", *["available"] * 3]
    assert outcomes(jobs[4]) == ["returned"]
    check_unblamed(jobs[4])
    run_tick(WorkerPool.objects.get(name="default").pk)
    with all_tenants():
        first = LiveExecution.objects.order_by("id").first()
    assert first is not None
    assert first.tenant_id == other.pk
    assert faults_of("ledger", "counters", "ready", "executions") == []


def test_execution_that_another_session_has_locked_holds_no_other_back(
    acme: Tenant, local: LocalWorker, enlist: Merge
) -> None:
    execution_ids, token = enlist(submit(acme, 3, kind="scripted"))
    start_executions(execution_ids=execution_ids, token=token, worker_id=local.registration.worker_id)
    pause_kind(kind="scripted", reason="a test")
    with locked(execution_ids[2:]):
        assert take_back() == 1
    assert take_back() == 1
    with all_tenants():
        assert set(Execution.objects.values_list("id", flat=True)) == set(execution_ids[1:])
    assert faults_of("ledger", "executions") == []
