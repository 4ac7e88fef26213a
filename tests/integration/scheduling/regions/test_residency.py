"""Residency: refused at submission, checked again at each claim, and enforced when the regions change."""

from __future__ import annotations

import pytest
from django.db.models.functions import Now
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.dispatch.claim import reserve_capacity
from scheduling.dispatch.read import read_pool
from scheduling.dispatch.tick import run_tick
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution, start_execution
from scheduling.fleet.workers import WorkerPoolUnfitError, register_worker
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Execution, FairShareNode, Job, LiveExecution, Queue, Worker, WorkerPool
from scheduling.regions.exceptions import RegionNotAllowedError
from scheduling.topology.service import update_worker_pool
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tenants.tenancy.service import update_tenant
from tests.integration.scheduling.bulk.conftest import take_turns
from tests.integration.scheduling.job_helpers import in_flight, reasons_of, reload, submit
from tests.integration.scheduling.regions.conftest import allow, route

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
STEPS = ["submit", "tick us", "tick eu", "start", "eu", "us", "both", "none"]


def tick_of(queue: Queue) -> int:
    with all_tenants():
        Worker.objects.update(heartbeat_at=Now())  # on a busy machine a test takes longer than a heartbeat is valid
    return run_tick(queue.pool_id).dispatched


def test_submission_without_a_queue_in_an_allowed_region_is_refused_with_a_cure(acme: Tenant, us: Queue) -> None:
    route(us)
    acme = allow(acme, "eu", home="eu")
    with pytest.raises(RegionNotAllowedError) as refusal:
        submit_job(tenant=acme, request=JobRequest(kind="noop"))
    assert "eu" in refusal.value.detail
    assert "us-queue (us)" in refusal.value.detail
    assert "Ask the platform" in refusal.value.detail


def test_submission_with_a_queue_elsewhere_is_refused(acme: Tenant, us: Queue, eu: Queue) -> None:
    route(us, eu, balance="weighted")
    acme = allow(acme, "eu")
    with pytest.raises(RegionNotAllowedError):
        submit_job(tenant=acme, request=JobRequest(kind="noop", queue="us-queue"))
    (job,) = submit(acme, queue="eu-queue")
    assert job.queue_id == eu.pk


@pytest.mark.parametrize("balance", ["weighted", "least_loaded", "nearest"])
def test_balance_uses_allowed_regions_only(acme: Tenant, us: Queue, eu: Queue, balance: str) -> None:
    route(us, eu, balance=balance)
    assert {job.queue_id for job in submit(allow(acme, "eu"), 20)} == {eu.pk}


def test_tenant_with_regions_runs_in_no_pool_without_a_region(acme: Tenant, worker: object) -> None:
    with pytest.raises(RegionNotAllowedError):
        submit_job(tenant=allow(acme, "eu"), request=JobRequest(kind="noop"))


def test_waiting_job_is_not_claimed_elsewhere_and_says_why(acme: Tenant, globex: Tenant, us: Queue) -> None:
    route(us)
    (job,), (other,) = submit(acme), submit(globex)
    acme = allow(acme, "eu")
    assert tick_of(us) == 1
    assert [each.pk for each in in_flight()] == [other.pk]
    with tenant_context(acme):
        reasons = {reason.code: reason.detail for reason in reasons_of(job)}
    assert "eu" in reasons["region_not_allowed"]
    assert "us" in reasons["region_not_allowed"]
    allow(acme, "eu", "us")
    assert tick_of(us) == 1


def test_claim_checks_the_region_again(acme: Tenant, us: Queue) -> None:
    route(us)
    submit(acme)
    with all_tenants():
        Tenant.objects.filter(pk=acme.pk).update(allowed_regions=["eu"])
        FairShareNode.objects.update(is_runnable=True)

        class _Pick:
            tenant_id, message = acme.pk, 1

        assert reserve_capacity(us.pool_id, read_pool(us.pool_id), [_Pick()]) == []  # type: ignore[list-item]


def test_dispatched_job_is_taken_back_when_its_region_is_no_longer_allowed(acme: Tenant, us: Queue) -> None:
    route(us)
    (job,) = submit(acme)
    assert tick_of(us) == 1
    with all_tenants():
        live = LiveExecution.objects.get(job_id=job.pk)
        worker = Worker.objects.get(hostname="us")
    allow(acme, "eu")
    assert reload(job).state == "available"
    assert start_execution(execution_id=live.pk, token=live.token, worker_id=worker.pk) is None
    assert tick_of(us) == 0
    with all_tenants():
        assert Execution.objects.get(job_id=job.pk).outcome == "returned"


def test_begun_job_ends_where_it_runs(acme: Tenant, us: Queue) -> None:
    route(us)
    (job,) = submit(acme)
    tick_of(us)
    started = begin_in("us", job)
    allow(acme, "eu")
    assert settle([Settlement.completed(started.execution_id, started.fence, None)])
    assert reload(job).state == "completed"


def begin_in(hostname: str, job: Job) -> StartedExecution:
    with all_tenants():
        live = LiveExecution.objects.get(job_id=job.pk)
        worker = Worker.objects.get(hostname=hostname)
    started = start_execution(execution_id=live.pk, token=live.token, worker_id=worker.pk)
    assert started is not None
    return started


@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(st.sampled_from(["submit", "tick us", "tick eu", "start", "eu", "us", "both", "none"]), max_size=20)
)
def _walk(acme: Tenant, us: Queue, eu: Queue, steps: list[str]) -> None:
    """Take random steps; whenever a job begins, its pool's region is allowed at that moment."""
    allowed = {"eu": ["eu"], "us": ["us"], "both": ["eu", "us"], "none": []}
    for step in steps:
        with all_tenants():
            tenant = Tenant.objects.select_related("plan").get(pk=acme.pk)
        if step == "submit":
            submit(tenant, 2)
        elif step.startswith("tick"):
            tick_of(us if step.endswith("us") else eu)
        elif step in allowed:
            update_tenant(tenant=tenant, changes={"allowed_regions": allowed[step]})
        else:
            with all_tenants():
                waiting = list(LiveExecution.objects.filter(started_at=None))
            for live in waiting:
                region = WorkerPool.objects.get(pk=live.pool_id).region
                with all_tenants():
                    worker = Worker.objects.get(hostname=region)
                started = start_execution(execution_id=live.pk, token=live.token, worker_id=worker.pk)
                if started is not None:
                    assert region in (tenant.allowed_regions or ["eu", "us"])
                    settle([Settlement.completed(started.execution_id, started.fence, None)])


def test_no_job_begins_elsewhere_in_random_orders(acme: Tenant, us: Queue, eu: Queue) -> None:
    route(us, eu, balance="weighted")
    _walk(acme, us, eu)


def test_worker_of_another_region_is_refused(us: Queue) -> None:
    with pytest.raises(WorkerPoolUnfitError, match="the region eu"):
        register_worker(pool_name="us-pool", hostname="x", pid=2, slots=1, region="eu")
    assert register_worker(pool_name="us-pool", hostname="x", pid=2, slots=1, region="us").slots == 1


def test_region_of_a_pool_with_workers_cannot_change(us: Queue) -> None:
    with pytest.raises(FieldInvalidError, match="stop the workers"):
        update_worker_pool(pool=us.pool, changes={"region": "eu"})
    with all_tenants():
        Worker.objects.update(status="stopped")
    assert update_worker_pool(pool=us.pool, changes={"region": "eu"}).region == "eu"


def test_waiting_jobs_go_on_when_their_pool_gets_an_allowed_region(acme: Tenant, us: Queue) -> None:
    route(us)
    submit(acme)
    allow(acme, "eu")
    assert tick_of(us) == 0
    with all_tenants():
        Worker.objects.update(status="stopped")
    update_worker_pool(pool=us.pool, changes={"region": "eu"})
    register_worker(pool_name="us-pool", hostname="moved", pid=3, slots=1)
    assert tick_of(us) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"home_region": "us", "allowed_regions": ["eu"]}, "home region us"),
        ({"allowed_regions": ["eu", "eu"]}, "once"),
        ({"allowed_regions": ["E U"]}, "lower-case"),
        ({"home_region": "-eu"}, "lower-case"),
        ({"allowed_regions": [f"r{number}" for number in range(21)]}, "20"),
    ],
)
def test_invalid_regions_are_refused(acme: Tenant, changes: dict[str, object], message: str) -> None:
    with pytest.raises(FieldInvalidError, match=message):
        update_tenant(tenant=acme, changes=changes)


def test_change_of_regions_is_audited(acme: Tenant) -> None:
    allow(acme, "eu", home="eu")
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="tenant.updated")
    assert entry.after == {"allowed_regions": ["eu"], "home_region": "eu"}


def test_reroute_moves_waiting_jobs_to_an_allowed_region(
    acme: Tenant, us: Queue, eu: Queue, no_settle_delay: None
) -> None:
    route(us, eu, balance="weighted")
    jobs = submit(acme, 10)
    allow(acme, "eu")
    take_turns()
    assert {reload(job).queue_id for job in jobs} == {eu.pk}
