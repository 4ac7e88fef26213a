"""Waiting reasons, position and time: correct in every state, bounded, and silent about other tenants."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from scheduling.dispatch.tick import run_tick
from scheduling.fleet.workers import Registration
from scheduling.jobs.waits.job_eta import COUNT_LIMIT
from scheduling.jobs.waits.reasons import Explanation, why_waiting
from scheduling.models import Job, Queue, Worker, WorkerPool
from scheduling.stops.pauses import pause_queue
from scheduling.topology.service import update_queue
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.tenancy.service import pause_tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, in_flight, submit

pytestmark = pytest.mark.django_db

FILL = """
INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind)
SELECT e.tenant_id, e.id, %s + n, gen_random_uuid(), 'noop'
FROM scheduling_schedulingentity e, generate_series(1, %s) n WHERE e.tenant_id = %s
"""


def explain(job: Job) -> Explanation:
    with all_tenants():
        explanation = why_waiting(Job.objects.select_related("queue").get(pk=job.pk))
    assert explanation is not None
    return explanation


def test_position_is_counted_in_the_tenants_own_order(acme: Tenant, globex: Tenant, worker: Registration) -> None:
    first, second = submit(acme, 2)
    submit(globex, 7)
    (urgent,) = submit(acme, 1, priority=1)
    assert [explain(job).position for job in (urgent, first, second)] == [1, 2, 3]


def test_position_beyond_the_count_limit_is_marked_as_more(
    acme: Tenant, worker: Registration, tick: Tick, django_assert_max_num_queries: Any
) -> None:
    first, *_, last = submit(acme, 3)
    tick()
    with all_tenants():
        Job.objects.filter(pk__in=[first.pk]).update(state="available")
        with connection.cursor() as cursor:
            cursor.execute(FILL, [first.rank - 20_000, 2 * COUNT_LIMIT - 10, acme.pk])
    (newest,) = submit(acme)
    tick()
    with django_assert_max_num_queries(20):
        explanation = explain(newest)
    assert explanation.ahead is not None
    assert explanation.ahead.is_more
    assert explanation.position == COUNT_LIMIT + 1
    # The predicted work covers all jobs, not only the counted ones.
    assert explanation.ahead.work_us >= COUNT_LIMIT * 1_000_000
    assert last.pk != newest.pk


def test_eta_grows_with_the_jobs_ahead_and_shrinks_with_slots(acme: Tenant, worker: Registration) -> None:
    jobs = submit(acme, 40)
    times = [explain(job).start for job in (jobs[0], jobs[20], jobs[39])]
    etas = [start.eta_seconds for start in times if start is not None]
    assert etas == sorted(etas)
    assert etas[0] < 0.01
    # Forty jobs with an expected second each, on four slots.
    assert 5 < etas[2] < 15
    with all_tenants():
        Worker.objects.update(slots=2)
    slower = explain(jobs[39]).start
    assert slower is not None
    assert slower.eta_seconds > 1.5 * etas[2]
    assert slower.low_seconds < slower.eta_seconds < slower.high_seconds


def test_neighbour_in_the_queue_doubles_the_eta(acme: Tenant, globex: Tenant, worker: Registration) -> None:
    from scheduling.models import CFSPlan

    with all_tenants():
        CFSPlan.objects.get(is_active=True).tiers.update(queue=Queue.objects.get(name="tasks_team"))
        Tenant.objects.update(max_concurrency=10)
    jobs = submit(acme, 40)
    alone = explain(jobs[-1]).start
    submit(globex, 400)
    run_tick(WorkerPool.objects.get(name="default").pk)
    shared = explain(jobs[-1]).start
    assert alone is not None
    assert shared is not None
    # The plan team weighs twice as much as sandbox.
    assert 1.2 * alone.eta_seconds < shared.eta_seconds < 2.5 * alone.eta_seconds


def test_stop_without_an_end_gives_no_eta(acme: Tenant, worker: Registration) -> None:
    (job,) = submit(acme)
    pause_tenant(tenant=acme, reason="moving")
    explanation = explain(job)
    assert explanation.start is None
    assert "moving" in explanation.no_start_because


def test_stop_with_an_end_is_added_to_the_eta(acme: Tenant, worker: Registration) -> None:
    from datetime import timedelta

    from django.utils import timezone

    (job,) = submit(acme)
    pause_queue(queue=Queue.objects.get(name="tasks_team"), reason="x", until=timezone.now() + timedelta(hours=1))
    start = explain(job).start
    assert start is not None
    assert 3_500 < start.eta_seconds < 3_610


# Values that may change with others' work: only times.
def _without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in ("eta_seconds", "eta_band")}


def test_explanation_reveals_only_the_time_of_others(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick, start: Start, api_client: Any
) -> None:
    (job,) = submit(acme, 1, "sleep", payload={"seconds": 0})
    with all_tenants():
        Worker.objects.update(slots=2)
        Queue.objects.filter(name="tasks_team").update(cap=2)
        Tenant.objects.update(max_concurrency=50)

    def answer() -> dict[str, Any]:
        waiting: dict[str, Any] = api_client(acme).get(f"/api/v1/jobs/{job.pk}/").json()["waiting"]
        return waiting

    quiet = answer()
    submit(globex, 137)
    with all_tenants():
        Queue.objects.exclude(name="tasks_sandbox").filter(pool__name="default").update(weight=1)
    busy = answer()
    assert _without_times(quiet) == _without_times(busy)
    with all_tenants():
        Job.objects.filter(tenant=globex).update(queue=job.queue_id)
    _occupy(globex, job.queue_id)
    full = answer()
    assert {reason["code"] for reason in full["reasons"]} == {"no_free_slot", "queue_cap_reached"}
    words = json.dumps(full["reasons"])
    assert not any(character.isdigit() for character in words), words
    assert "globex" not in json.dumps(full).lower()
    assert set(full) == set(quiet)
    assert "pool_position" not in json.dumps(full)


def _occupy(tenant: Tenant, queue_id: int) -> None:
    """Put two jobs of a tenant in flight, in a queue of another tenant."""
    from scheduling.models import LiveExecution

    run_tick(WorkerPool.objects.get(name="default").pk)
    with all_tenants():
        Job.objects.exclude(tenant=tenant).update(state="available")
        LiveExecution.objects.exclude(tenant=tenant).delete()
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM scheduling_execution_live")
            (running,) = cursor.fetchone()
        assert running
        LiveExecution.objects.update(queue=queue_id)
        Worker.objects.update(slots=running)
        Queue.objects.filter(pk=queue_id).update(cap=running)


def test_explanation_for_staff_contains_the_numbers(acme: Tenant, worker: Registration, tick: Tick) -> None:
    update_queue(queue=Queue.objects.get(name="tasks_team"), changes={"cap": 2})
    jobs = submit(acme, 4)
    tick()
    explanation = explain(jobs[3])
    (reason,) = explanation.reasons
    assert (reason.code, "2 of 2" in reason.detail) == ("queue_cap_reached", True)
    assert explanation.start is not None
    assert explanation.start.pool_position >= 2


def test_command_prints_the_explanation_as_text_and_json(acme: Tenant, worker: Registration) -> None:
    jobs = submit(acme, 3)
    out = StringIO()
    call_command("explain_job", str(jobs[2].pk), stdout=out)
    assert "waiting_for_turn" in out.getvalue()
    assert "Position 3 in its tenant's queue" in out.getvalue()
    out = StringIO()
    call_command("explain_job", str(jobs[2].pk), "--json", stdout=out)
    facts = json.loads(out.getvalue())
    assert facts["waiting"]["ahead"]["jobs"] == 2
    assert facts["waiting"]["start"]["eta_seconds"] >= 0


def test_job_that_does_not_wait_has_no_explanation(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    begin(start, job)
    out = StringIO()
    call_command("explain_job", str(job.pk), stdout=out)
    assert "does not wait" in out.getvalue()
    assert in_flight()
    with tenant_context(acme):
        assert why_waiting(Job.objects.get(pk=job.pk)) is None
    assert complete is not None
