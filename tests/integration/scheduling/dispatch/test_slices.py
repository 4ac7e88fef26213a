"""Time slices on the real tables: which slots are requested, and what happens to the jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.dispatch.slices import request_slice_yields
from scheduling.execution import settlement_builders
from scheduling.execution.leases import heartbeat
from scheduling.execution.settlement import settle
from scheduling.execution.start import StartedExecution
from scheduling.fairness.nodes import virtual_service
from scheduling.fleet.workers import Registration, register_worker
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.models import (
    CFSPlan,
    Charge,
    Execution,
    FairShareNode,
    Job,
    JobReady,
    LiveExecution,
    Queue,
    QueueClock,
    TenantCapacity,
)
from scheduling.plans.service import activate_cfs_plan
from scheduling.stops.pauses import pause_kind, pause_queue
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant, pause_tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Start, Tick, begin, reload, submit
from tests.integration.scheduling.statistics.test_metrics import scrape

pytestmark = pytest.mark.django_db

type Capture = Callable[..., AbstractContextManager[list[Callable[[], None]]]]
type Limit = Callable[[int], AbstractContextManager[object]]
SLICE_SECONDS = 120


@pytest.fixture
def long_jobs(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> list[StartedExecution]:
    """Start four jobs of acme that hold all slots and are in their second slice, for 50 to 80 s."""
    jobs = submit(acme, 4)
    tick()
    executions = [begin(start, job) for job in jobs]
    for number, execution in enumerate(executions):
        run_for(execution, SLICE_SECONDS + 50 + 10 * number)
    return executions


def run_for(execution: StartedExecution, seconds: float) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scheduling_execution_live SET started_at = now() - make_interval(secs => %s) WHERE id = %s",
            [seconds, execution.execution_id],
        )


def requested() -> set[UUID]:
    with all_tenants():
        return set(LiveExecution.objects.filter(yield_requested_at__isnull=False).values_list("id", flat=True))


def request_slots(tick: Tick) -> set[UUID]:
    """Fold submissions, decide, and return the executions that are requested to yield."""
    tick()
    request_slice_yields()
    return requested()


def give_slot_back(execution: StartedExecution, state: object = None) -> None:
    (settled,) = settle([settlement_builders.yielded(execution.execution_id, execution.fence, state or {"at": 7})])
    assert settled.state == JobState.AVAILABLE


def test_one_waiting_tenant_requests_the_slot_of_the_last_job(
    globex: Tenant, tick: Tick, long_jobs: list[StartedExecution]
) -> None:
    submit(globex)
    assert request_slots(tick) == {long_jobs[-1].execution_id}
    submit(globex)
    assert request_slots(tick) == {execution.execution_id for execution in long_jobs[-2:]}


def test_no_slot_is_requested_while_no_other_tenant_waits(
    acme: Tenant, tick: Tick, long_jobs: list[StartedExecution]
) -> None:
    assert request_slots(tick) == set()
    submit(acme)  # another job of the same tenant
    assert request_slots(tick) == set()


def test_no_slot_is_requested_before_the_slice_is_used(
    globex: Tenant, tick: Tick, long_jobs: list[StartedExecution]
) -> None:
    for execution in long_jobs:
        run_for(execution, SLICE_SECONDS - 10)
    submit(globex)
    assert request_slots(tick) == set()
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(granularity_seconds=SLICE_SECONDS - 20)
    assert request_slots(tick)


def test_no_slot_is_requested_if_time_is_not_sliced(
    globex: Tenant, tick: Tick, long_jobs: list[StartedExecution]
) -> None:
    submit(globex)
    assert request_slots(tick)
    with all_tenants():
        activate_cfs_plan(plan=CFSPlan.objects.get(name="community"), reason="test")
    # The earlier request is withdrawn.
    assert request_slots(tick) == set()


def test_no_slot_is_requested_while_one_is_free(
    globex: Tenant, tick: Tick, long_jobs: list[StartedExecution], worker: Registration
) -> None:
    submit(globex)
    tick()
    register_worker(pool_name="default", hostname="another", pid=2, slots=1)
    # Before the next tick dispatches to the new slot, and after it.
    request_slice_yields()
    assert requested() == set()
    assert request_slots(tick) == set()


def test_no_slot_is_requested_for_a_paused_tenant(
    globex: Tenant, tick: Tick, long_jobs: list[StartedExecution]
) -> None:
    submit(globex)
    assert request_slots(tick)
    pause_tenant(tenant=globex, reason="asked for")
    assert request_slots(tick) == set()


def test_no_slot_is_requested_for_a_tenant_at_its_cap(
    globex: Tenant, tick: Tick, long_jobs: list[StartedExecution]
) -> None:
    with all_tenants():
        TenantCapacity.objects.update_or_create(tenant=globex, defaults={"in_flight": 2})
    submit(globex)
    assert request_slots(tick) == set()


@pytest.mark.parametrize("what", ["queue paused", "queue capped", "kind paused"])
def test_no_slot_is_requested_for_a_paused_queue_or_kind(
    globex: Tenant, tick: Tick, long_jobs: list[StartedExecution], what: str
) -> None:
    queue = Queue.objects.get(name="tasks_sandbox")
    if what == "queue paused":
        pause_queue(queue=queue, reason="broken")
    elif what == "queue capped":
        with all_tenants():
            Queue.objects.filter(pk=queue.pk).update(cap=0)
    else:
        pause_kind(kind="sleep", reason="broken")
    submit(globex, kind="sleep", payload={"seconds": 0})
    assert request_slots(tick) == set()


def test_no_slot_is_requested_for_a_queue_at_its_rate(
    globex: Tenant, tick: Tick, long_jobs: list[StartedExecution]
) -> None:
    submit(globex)
    assert request_slots(tick)
    with all_tenants():
        queues = Queue.objects.filter(name="tasks_sandbox")
        queues.update(dispatches_per_minute=1, dispatch_burst=1)
        an_hour_ahead = (time.time_ns() // 1_000) + 3_600_000_000
        QueueClock.objects.filter(queue__in=queues).update(arrival_us=an_hour_ahead)
    assert request_slots(tick) == set()


def test_job_that_could_not_return_keeps_its_slot(
    acme: Tenant, globex: Tenant, tick: Tick, long_jobs: list[StartedExecution]
) -> None:
    pause_tenant(tenant=acme, reason="asked for")
    submit(globex)
    assert request_slots(tick) == set()


def test_slot_of_a_draining_worker_is_not_requested(
    globex: Tenant, tick: Tick, long_jobs: list[StartedExecution], worker: Registration
) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_worker SET status = 'draining' WHERE id = %s", [worker.worker_id])
    submit(globex)
    assert request_slots(tick) == set()


def test_request_is_withdrawn_once_no_tenant_waits(
    globex: Tenant, tick: Tick, long_jobs: list[StartedExecution], django_capture_on_commit_callbacks: Capture
) -> None:
    before = scrape()
    (job,) = submit(globex)
    assert request_slots(tick)
    with tenant_context(globex):
        cancel_job(job_id=job.pk)
    assert request_slots(tick) == set()
    counted = {
        step: scrape()[f'jobsplatform_yields_total{{step="{step}"}}']
        - before.get(f'jobsplatform_yields_total{{step="{step}"}}', 0)
        for step in ("requested", "withdrawn")
    }
    assert counted == {"requested": 1, "withdrawn": 1}


def test_job_running_beyond_its_prediction_is_charged_while_it_runs(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    """Run both tenants at weight 1: globex had 900 s of service, and acme's jobs exceed their predicted second."""
    with all_tenants():
        queue = Queue.objects.get(name="tasks_team")
        CFSPlan.objects.get(name="cloud").tiers.update(queue=queue)
    jobs = submit(acme, 4)
    tick()
    executions = [begin(start, job) for job in jobs]
    submit(globex)
    tick()
    with all_tenants():
        entity = FairShareNode.objects.get(tenant=globex)
        acme_entity = FairShareNode.objects.get(tenant=acme)
        ahead = acme_entity.vruntime + virtual_service(900_000_000, acme_entity.weight_milli)
        FairShareNode.objects.filter(pk=entity.pk).update(vruntime=ahead)
    for execution in executions:
        run_for(execution, SLICE_SECONDS + 1)
    # Four times 121 s, plus a slice for three of them, is less than 900 s; four times 230 s is more.
    assert request_slots(tick) == set()
    for execution in executions:
        run_for(execution, 230)
    assert len(request_slots(tick)) == 1


def test_heartbeat_returns_the_yield_request(
    globex: Tenant, tick: Tick, long_jobs: list[StartedExecution], worker: Registration
) -> None:
    submit(globex)
    (wanted,) = request_slots(tick)
    execution_ids = [execution.execution_id for execution in long_jobs]
    leases = heartbeat(worker_id=worker.worker_id, is_stopping=False, execution_ids=execution_ids).leases
    assert {id_: lease.is_yield_requested for id_, lease in leases.items()} == {
        id_: id_ == wanted for id_ in execution_ids
    }


def test_yielded_job_keeps_its_rank_and_uses_no_attempt(
    acme: Tenant, globex: Tenant, tick: Tick, long_jobs: list[StartedExecution], start: Start
) -> None:
    (short,) = submit(globex)
    (execution_id,) = request_slots(tick)
    execution = long_jobs[-1]
    assert execution.execution_id == execution_id
    with all_tenants():
        job = Job.objects.get(pk=execution.job_id)
    give_slot_back(execution, {"page": 40})
    with all_tenants():
        place = JobReady.objects.get(job_id=job.pk)
        ended = Execution.objects.get(job=job)
        charged = sum(Charge.objects.filter(job_id=job.pk).values_list("microseconds", flat=True))
    after = reload(job)
    assert (after.attempt, after.crash_count, after.yield_count, after.checkpoint) == (0, 0, 1, {"page": 40})
    assert (place.rank, ended.outcome) == (job.rank, Execution.Outcome.YIELDED)
    assert charged == ended.measured_us >= SLICE_SECONDS * 1_000_000
    assert faults_of("ledger") == []
    with tenant_context(acme):
        explanation = why_waiting(after)
    assert explanation is not None
    assert [reason.code for reason in explanation.reasons] == ["yielded"]
    # The slot goes to the tenant it was requested for, and no other slot is requested.
    assert request_slots(tick) == set()
    assert reload(short).state == JobState.DISPATCHED
    assert reload(job).state == JobState.AVAILABLE
    # Another worker resumes it from its checkpoint.
    register_worker(pool_name="default", hostname="another", pid=2, slots=1)
    tick()
    resumed = begin(start, job)
    assert (resumed.checkpoint, resumed.attempt, resumed.fence) == ({"page": 40}, 1, execution.fence + 1)
    assert requested() == set()


def test_page_and_api_show_that_a_job_yielded_and_continues(
    acme: Tenant,
    acme_user: User,
    globex: Tenant,
    tick: Tick,
    long_jobs: list[StartedExecution],
    api_client: Callable[[Tenant], APIClient],
) -> None:
    execution = long_jobs[-1]
    client = Client()
    client.force_login(acme_user)

    def page() -> str:
        return client.get(reverse("admin:scheduling_job_change", args=[execution.job_id])).content.decode()

    assert "Yield requested" not in page()
    submit(globex)
    assert request_slots(tick) == {execution.execution_id}
    assert "Yield requested" in page()
    give_slot_back(execution)
    shown = page()
    for text in ("Yielded its slot after a time slice", "yielded its slot 1 time", "execution.yielded"):
        assert text in shown
    api = api_client(acme)
    answer = api.get(f"/api/v1/jobs/{execution.job_id}/").json()
    assert (answer["yields"], answer["attempt"]) == (1, 1)
    assert [reason["code"] for reason in answer["waiting"]["reasons"]] == ["yielded"]
    (ended,) = api.get(f"/api/v1/jobs/{execution.job_id}/executions/").json()["results"]
    assert ended["state"] == "yielded"


def test_yielded_slots_go_to_the_waiting_tenants(globex: Tenant, tick: Tick, long_jobs: list[StartedExecution]) -> None:
    initech = create_tenant(slug="initech", plan="professional")
    jobs = submit(globex, 2) + submit(initech, 5)
    by_id = {execution.execution_id: execution for execution in long_jobs}
    given = [by_id[execution_id] for execution_id in request_slots(tick)]
    assert given
    for execution in given:
        give_slot_back(execution)
    tick()
    assert sum(reload(job).state == JobState.DISPATCHED for job in jobs) == len(given)


def test_slice_requests_take_a_constant_number_of_statements(
    globex: Tenant,
    tick: Tick,
    long_jobs: list[StartedExecution],
    django_assert_max_num_queries: Limit,
) -> None:
    submit(globex)
    tick()
    with django_assert_max_num_queries(20):
        request_slice_yields()
    assert requested()
