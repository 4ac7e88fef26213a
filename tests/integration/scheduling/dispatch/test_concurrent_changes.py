"""Concurrent changes of jobs and plans: no row is missed, and no duty waits for an open transaction."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from scheduling.bulk import reroute
from scheduling.bulk.reroute import request_reroute
from scheduling.dispatch.tick import run_tick
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_job, cancel_jobs
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.retries import retry_jobs
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.models import CFSPlan, Job, JobDue, JobReady, WorkerPool
from scheduling.plans.due_versions import apply_due_versions
from scheduling.plans.service import CFS_PLANS, activate_cfs_plan
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Plan, PlanVersion, Tenant
from tenants.plans.service import update_plan
from tests.checks import faults_of
from tests.integration.scheduling.backlog import move_turn, reroutes
from tests.integration.scheduling.job_helpers import Start, Tick, fail, reload, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_lock_timeout")]
DEADLINE_SECONDS = 10
PAST = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_settle_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reroute, "SETTLE_SECONDS", 0.0)


def begin_elsewhere[ResultT](act: Callable[[], ResultT]) -> Future[ResultT]:
    """Run it on another connection."""

    def go() -> ResultT:
        try:
            return act()
        finally:
            connection.close()

    thread = ThreadPoolExecutor(1)
    result = thread.submit(go)
    thread.shutdown(wait=False)  # a thread that still waits for this transaction must not block its end
    return result


def await_waiter() -> None:
    """Wait until another connection waits for a lock of this transaction."""
    until = time.monotonic() + DEADLINE_SECONDS
    with connection.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            if cursor.fetchone()[0]:
                return
    raise AssertionError("No connection waits.")


def overtake[ResultT](act: Callable[[], ResultT], hold: Callable[[], object]) -> ResultT:
    """Let `act` read the rows as they were before `hold`, and continue once that is committed."""
    with all_tenants():
        hold()
        result = begin_elsewhere(act)
        await_waiter()
    return result.result(DEADLINE_SECONDS)


def in_tenant(tenant: Tenant, act: Callable[..., Any], **options: Any) -> Any:
    with tenant_context(tenant):
        return act(**options)


def move_some() -> None:
    for _ in range(20):
        if move_turn():
            return
    raise AssertionError("Nothing moves.")


def test_job_resumed_while_cancelled_leaves_no_row_in_its_line(acme: Tenant, pool: WorkerPool) -> None:
    (job,) = submit(acme)
    in_tenant(acme, suspend_job, job_id=job.pk)
    overtake(lambda: in_tenant(acme, cancel_job, job_id=job.pk), lambda: resume_job(job_id=job.pk))
    assert reload(job).state == JobState.CANCELLED
    with all_tenants():
        assert not JobReady.objects.exists()
    run_tick(pool.pk)
    assert faults_of("counters", "ready") == []


def test_bulk_cancel_includes_jobs_moved_by_a_reroute(acme: Tenant, pool: WorkerPool) -> None:
    ids = {job.pk for job in submit(acme, 5)}
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"))
    assert overtake(lambda: in_tenant(acme, cancel_jobs, job_ids=sorted(ids)), move_some) == ids
    with all_tenants():
        assert set(Job.objects.values_list("state", "queue__name")) == {("cancelled", "tasks")}
    run_tick(pool.pk)
    assert faults_of("counters", "ready") == []


def test_bulk_retry_includes_jobs_moved_by_a_reroute(
    acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    fail(start, job)
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"))
    bulk = overtake(lambda: in_tenant(acme, retry_jobs, job_ids=[job.pk]), move_some)
    assert bulk.hastened == {job.pk}
    with all_tenants():
        assert (JobDue.objects.count(), JobReady.objects.count()) == (0, 1)
    run_tick(pool.pk)
    assert faults_of("counters", "ready") == []


def put_due(plan: Plan, number: int, **content: Any) -> PlanVersion:
    """Store a due version of the plan with changed `content`."""
    with all_tenants():
        whole = plan.versions.get(number=1).content | content
        return PlanVersion.objects.create(
            plan=plan, number=number, content=whole, before={}, after={}, effective_from=PAST
        )


def team() -> Plan:
    return Plan.objects.get(slug="team")


def test_due_version_of_a_locked_plan_waits_for_the_next_turn() -> None:
    sandbox = Plan.objects.get(slug="sandbox")
    put_due(team(), 10, weight=7)
    put_due(sandbox, 11, weight=9)
    with all_tenants():
        update_plan(plan=team(), changes={"weight": 5})
        assert begin_elsewhere(apply_due_versions).result(DEADLINE_SECONDS) == 1
    sandbox.refresh_from_db()
    assert (sandbox.weight, team().weight) == (9, 5)
    assert apply_due_versions() == 1
    assert team().weight == 7


def test_turn_does_not_wait_for_an_open_reroute_request(acme: Tenant) -> None:
    submit(acme, 2)
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"))
    with all_tenants():
        request_reroute(cause="again")
        assert begin_elsewhere(move_turn).result(DEADLINE_SECONDS) == 0
    assert move_turn() == 2
    with all_tenants():
        assert list(reroutes().order_by("id").values_list("state", flat=True)) == ["aborted", "running"]


def test_failing_version_is_logged_and_delays_no_other(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def divide(*_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    sound = put_due(team(), 10)
    with all_tenants():
        without = {name: value for name, value in sound.content.items() if name != "limits"}
        sandbox = Plan.objects.get(slug="sandbox")
        bare = PlanVersion.objects.create(
            plan=sandbox, number=9, content=without, before={}, after={}, effective_from=PAST
        )
        other = CFSPlan.objects.get(name="cloud")
        rest = other.versions.get(number=1).content | {"reserved_slots": 1}
        failing = other.versions.create(number=12, content=rest, before={}, after={}, effective_from=PAST)
    monkeypatch.setattr(CFS_PLANS, "put", divide)
    assert apply_due_versions() == 1
    with all_tenants():
        assert AuditLogEntry.objects.filter(action__endswith="plan.version_refused").count() == 2
    for row, outcome, note in (
        (sound, "applied", ""),
        (bare, "refused", "It could not be applied (KeyError)."),
        (failing, "refused", "It could not be applied (DataError)."),
    ):
        row.refresh_from_db()
        assert (row.outcome, row.outcome_note) == (outcome, note)
    assert [record.message for record in caplog.records].count("version.failed") == 2
    assert apply_due_versions() == 0
