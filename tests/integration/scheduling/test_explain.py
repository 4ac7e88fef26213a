"""Why a job waits, its place and its time: true whatever has happened, bounded, and silent about others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from scheduling.lifecycle import TERMINAL_STATES, JobState
from scheduling.models import Job, Queue, Worker, WorkerPool
from scheduling.selectors import waiting as waiting_module
from scheduling.selectors.outlook import COUNT_LIMIT
from scheduling.selectors.standing import Standing, Stop, read_standing
from scheduling.selectors.waiting import Explanation, why_waiting
from scheduling.services.dispatching import run_tick
from scheduling.services.pauses import pause_queue, resume_queue
from scheduling.services.topology import update_queue
from scheduling.services.workers import Registration
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.services.tenants import pause_tenant, resume_tenant
from tests.integration.scheduling.acts import Start, Tick, begin, complete, in_flight, submit
from tests.integration.scheduling.test_invariants import Walk

pytestmark = pytest.mark.django_db

STEPS = 60
LOOK_EVERY = 6
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


class StoppingWalk(Walk):
    """The walk of the invariants, in which tenants and queues stop and start too."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        more: list[Callable[[], object]] = [self.stop_tenant, self.stop_queue, self.cap_queue, self.rate_queue]
        self.acts += more

    def stop_tenant(self) -> None:
        tenant = self.random.choice(self.tenants)
        act = self.random.choice([pause_tenant, resume_tenant])
        act(tenant=tenant, **({"reason": "x"} if act is pause_tenant else {}))

    def queue(self) -> Queue:
        return Queue.objects.get(name=self.random.choice(["workflow_team", "workflow_sandbox"]))

    def stop_queue(self) -> None:
        self.random.choice([lambda queue: pause_queue(queue=queue, reason="x"), lambda q: resume_queue(queue=q)])(
            self.queue()
        )

    def cap_queue(self) -> None:
        update_queue(queue=self.queue(), changes={"cap": self.random.choice([None, 1, 3])})

    def rate_queue(self) -> None:
        update_queue(queue=self.queue(), changes={"dispatches_per_minute": self.random.choice([None, 1, 60_000])})


class UndoneError(Exception):
    """What was tried is undone."""


def liars(pool: WorkerPool) -> list[str]:
    """Jobs that say nothing, or nothing but that their turn comes, though a tick with room takes nobody like them."""
    with all_tenants():
        jobs = list(Job.objects.select_related("queue", "tenant__plan").exclude(state__in=TERMINAL_STATES))
        waiting = [job for job in jobs if job.state != JobState.EXECUTING]
        told = {job: why_waiting(job) for job in waiting}
    silent = [str(job.pk) for job, explanation in told.items() if explanation is None or not explanation.reasons]
    hopeful = [
        job
        for job, explanation in told.items()
        if explanation is not None and [reason.code for reason in explanation.reasons] == ["waiting_for_turn"]
    ]
    taken = _taken_by_a_tick_with_room(pool)
    return silent + [str(job.pk) for job in hopeful if not _has_reason(job, taken)]


def _taken_by_a_tick_with_room(pool: WorkerPool) -> list[Job]:
    taken: list[Job] = []
    try:
        with transaction.atomic():
            with all_tenants():
                before = set(Job.objects.in_flight().values_list("pk", flat=True))
                Worker.objects.update(slots=1_000)
            for _ in range(5):
                run_tick(pool.pk)
            with all_tenants():
                taken = list(Job.objects.in_flight().exclude(pk__in=before))
            raise UndoneError
    except UndoneError:
        return taken


def _has_reason(job: Job, taken: Iterable[Job]) -> bool:
    """It was taken, or one before it: of its tenant, which has a cap, or of its queue, which may have one."""
    return any(other.tenant_id == job.tenant_id or other.queue_id == job.queue_id for other in taken)


@pytest.mark.parametrize("seed", range(2))
def test_no_waiting_job_is_without_a_true_reason(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, pool: WorkerPool, settings: Any, seed: int
) -> None:
    settings.CIRCUIT_FAILURES = 2
    walk = StoppingWalk(seed, [acme, globex], tick, worker)
    for number in range(STEPS):
        walk.step()
        if number % LOOK_EVERY == 0:
            assert liars(pool) == [], f"seed {seed}, step {number}"


@pytest.mark.parametrize("forgotten", ["queue_pause", "tenant_pause", "kind_pause", "circuit"])
def test_a_reason_that_is_forgotten_is_found_out(
    acme: Tenant,
    tick: Tick,
    worker: Registration,
    pool: WorkerPool,
    monkeypatch: pytest.MonkeyPatch,
    forgotten: str,
) -> None:
    from tests.integration.scheduling.test_waiting_reasons import CASES

    codes = {"queue_pause": "queue_paused", "tenant_pause": "tenant_paused", "kind_pause": "kind_paused"}
    (case,) = [case for case in CASES if case.code == codes.get(forgotten, "circuit_open")]
    submit(acme)
    case.block(acme)
    tick()
    assert liars(pool) == []

    def forget(job: Job) -> Standing:
        return replace(read_standing(job), **{forgotten: Stop(is_on=False, reason="", until=None)})

    monkeypatch.setattr(waiting_module, "read_standing", forget)
    assert len(liars(pool)) == 1


def test_the_place_is_counted_in_the_tenants_own_order(acme: Tenant, globex: Tenant, worker: Registration) -> None:
    first, second = submit(acme, 2)
    submit(globex, 7)
    (urgent,) = submit(acme, 1, priority=1)
    assert [explain(job).position for job in (urgent, first, second)] == [1, 2, 3]


def test_more_than_can_be_counted_is_said_to_be_more(
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
    # The work is told of all that there are, not of those that were counted.
    assert explanation.ahead.work_us >= COUNT_LIMIT * 1_000_000
    assert last.pk != newest.pk


def test_the_time_grows_with_what_is_ahead_and_shrinks_with_slots(acme: Tenant, worker: Registration) -> None:
    jobs = submit(acme, 40)
    times = [explain(job).start for job in (jobs[0], jobs[20], jobs[39])]
    etas = [start.eta_seconds for start in times if start is not None]
    assert etas == sorted(etas)
    assert etas[0] < 0.01
    # Forty jobs that are expected to take a second each, on four slots.
    assert 5 < etas[2] < 15
    with all_tenants():
        Worker.objects.update(slots=2)
    slower = explain(jobs[39]).start
    assert slower is not None
    assert slower.eta_seconds > 1.5 * etas[2]
    assert slower.low_seconds < slower.eta_seconds < slower.high_seconds


def test_a_neighbour_in_the_queue_doubles_the_time(acme: Tenant, globex: Tenant, worker: Registration) -> None:
    from scheduling.models import CFSPlan

    with all_tenants():
        CFSPlan.objects.get(is_active=True).tiers.update(queue=Queue.objects.get(name="workflow_team"))
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


def test_nobody_knows_when_a_stop_without_an_end_is_over(acme: Tenant, worker: Registration) -> None:
    (job,) = submit(acme)
    pause_tenant(tenant=acme, reason="moving")
    explanation = explain(job)
    assert explanation.start is None
    assert "moving" in explanation.no_start_because


def test_a_stop_with_an_end_is_added(acme: Tenant, worker: Registration) -> None:
    from datetime import timedelta

    from django.utils import timezone

    (job,) = submit(acme)
    pause_queue(queue=Queue.objects.get(name="workflow_team"), reason="x", until=timezone.now() + timedelta(hours=1))
    start = explain(job).start
    assert start is not None
    assert 3_500 < start.eta_seconds < 3_610


# What may move with others' work: times, and nothing else.
def _without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in ("eta_seconds", "eta_band")}


def test_a_tenant_is_told_nothing_of_others_but_the_time(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick, start: Start, api_client: Any
) -> None:
    (job,) = submit(acme, 1, "sleep", payload={"seconds": 0})
    with all_tenants():
        Worker.objects.update(slots=2)
        Queue.objects.filter(name="workflow_team").update(cap=2)
        Tenant.objects.update(max_concurrency=50)

    def answer() -> dict[str, Any]:
        waiting: dict[str, Any] = api_client(acme).get(f"/api/v1/jobs/{job.pk}/").json()["waiting"]
        return waiting

    quiet = answer()
    submit(globex, 137)
    with all_tenants():
        Queue.objects.exclude(name="workflow_sandbox").filter(pool__name="default").update(weight=1)
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
    """Two jobs of a tenant in flight, in a queue that is another's."""
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


def test_staff_sees_the_numbers(acme: Tenant, worker: Registration, tick: Tick) -> None:
    update_queue(queue=Queue.objects.get(name="workflow_team"), changes={"cap": 2})
    jobs = submit(acme, 4)
    tick()
    explanation = explain(jobs[3])
    (reason,) = explanation.reasons
    assert (reason.code, "2 of 2" in reason.detail) == ("queue_cap_reached", True)
    assert explanation.start is not None
    assert explanation.start.pool_position >= 2


def test_the_command_says_it_in_words_and_as_json(acme: Tenant, worker: Registration) -> None:
    jobs = submit(acme, 3)
    out = StringIO()
    call_command("explain_job", str(jobs[2].pk), stdout=out)
    assert "waiting_for_turn" in out.getvalue()
    assert "Place 3 of its tenant's" in out.getvalue()
    out = StringIO()
    call_command("explain_job", str(jobs[2].pk), "--json", stdout=out)
    facts = json.loads(out.getvalue())
    assert facts["waiting"]["ahead"]["jobs"] == 2
    assert facts["waiting"]["start"]["eta_seconds"] >= 0


def test_what_does_not_wait_says_so(acme: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
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
