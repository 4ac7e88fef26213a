"""Take-back on the real tables: executions that wait in a list become available again when they should not begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db.models import Sum
from django.db.models.functions import Now
from django.utils import translation

from scheduling.breakers.service import force_circuit
from scheduling.conf import LIST_WORK_US
from scheduling.console.code_names import fact_words
from scheduling.dispatch import take_back
from scheduling.dispatch.take_back import take_back_held
from scheduling.dispatch.tick import run_tick
from scheduling.execution.costs import UNKNOWN
from scheduling.execution.holds import BegunExecution, Turnover, settle_and_begin
from scheduling.execution.settlement import Settlement
from scheduling.execution.start import start_executions
from scheduling.fleet.workers import Registration, drain_worker
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.history import live_execution_of
from scheduling.kit import registry
from scheduling.models import (
    CFSPlan,
    Charge,
    Execution,
    FairShareNode,
    Job,
    JobEvent,
    LiveExecution,
    PoolClock,
    Queue,
    TenantCapacity,
    Worker,
    WorkerPool,
)
from scheduling.stops.pauses import drain_pool, pause_kind, pause_pool, pause_queue
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant, pause_tenant, suspend_tenant, update_tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Tick, reload, submit
from tests.predictions import predict
from workloads.diagnostics.processor import NoopProcessor

pytestmark = pytest.mark.django_db

JOB_US = 5_000
MOST = LIST_WORK_US // JOB_US
CAME_FIRST = "another tenant came first"


@pytest.fixture(autouse=True)
def unmerged(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no-op jobs opt out of merging, predict 5 ms for them, and assert exact counters after each test."""
    monkeypatch.setattr(NoopProcessor, "is_mergeable", False)
    registry.reset()
    predict("noop", JOB_US)
    yield
    assert faults_of("ledger", "counters", "ready", "executions") == []
    registry.reset()


@dataclass
class Held:
    """A list that a child holds: the execution that has begun, and those that wait."""

    jobs: list[UUID]
    hold_id: UUID
    current: BegunExecution | None
    waiting: list[UUID]

    def settle(self, *, measured_us: int = JOB_US) -> Turnover:
        """Complete what has begun, and begin the next."""
        assert self.current is not None
        done = Settlement.completed(self.current.execution_id, self.current.fence, None)
        done.bill(UNKNOWN, began_us=0, measured_us=measured_us)
        turnover = settle_and_begin(done, self.waiting, hold_id=self.hold_id)
        assert turnover.settled is not None
        self.current = turnover.begun
        if self.current is not None:
            self.waiting = self.waiting[self.waiting.index(self.current.execution_id) + 1 :]
        return turnover


@pytest.fixture
def other(db: None) -> Tenant:
    """Return a tenant whose jobs are in the queue of acme."""
    return create_tenant(slug="team-0", plan="team")


class Pool:
    """The pool with one worker, whose lists are held as a child does."""

    def __init__(self, pool: WorkerPool, worker: Registration, tick: Tick) -> None:
        self.pool = pool
        self.worker = worker
        self.tick = tick

    def set_slots(self, slots: int) -> None:
        with all_tenants():
            Worker.objects.update(slots=slots)

    def submit(self, tenant: Tenant, count: int = 1, **options: Any) -> list[Job]:
        """Submit jobs whose estimate is stored, as after the end of a tenant's first job."""
        jobs = submit(tenant, count, **options)
        with all_tenants():
            FairShareNode.objects.update(estimate_us=JOB_US)
        return jobs

    def hold(self) -> list[Held]:
        """Tick until nothing more is claimed, and hold each new message."""
        while self.tick().has_more:
            pass
        messages: dict[UUID, list[UUID]] = {}
        with all_tenants():
            for live in LiveExecution.objects.filter(hold_id=None).order_by("id"):
                messages.setdefault(live.token, []).append(live.id)
        return [self._hold(ids, token) for token, ids in messages.items()]

    def _hold(self, execution_ids: list[UUID], token: UUID) -> Held:
        hold_id = uuid4()
        first, *others = start_executions(
            execution_ids=execution_ids, token=token, worker_id=self.worker.worker_id, hold_id=hold_id
        )
        current = BegunExecution(first.execution_id, first.fence, first.started_at)
        return Held([first.job_id, *[one.job_id for one in others]], hold_id, current, [o.execution_id for o in others])

    def take_back(self) -> list[Job]:
        """Tick, and take back; return the jobs that were returned, in the order of their submission."""
        result = self.tick()
        assert (result.has_held, result.has_more) == (True, False)
        with all_tenants():
            before = set(Execution.objects.values_list("id", flat=True))
        count = take_back_held(self.pool.pk).count
        with all_tenants():
            returned = list(Execution.objects.exclude(id__in=before).filter(outcome="returned"))
            assert len(returned) == count
            return list(Job.objects.filter(id__in=[one.job_id for one in returned]).order_by("rank", "id"))


@pytest.fixture
def work(pool: WorkerPool, worker: Registration, tick: Tick) -> Pool:
    work = Pool(pool, worker, tick)
    work.set_slots(1)
    return work


def set_started(held: Held, *, seconds_ago: float) -> None:
    """Set when the current execution of a list began."""
    assert held.current is not None
    with all_tenants():
        LiveExecution.objects.filter(id=held.current.execution_id).update(
            started_at=Now() - timedelta(seconds=seconds_ago)
        )


def causes() -> set[str]:
    with all_tenants():
        return {event.data["cause"] for event in JobEvent.objects.filter(name="execution.returned")}


def in_flight_of(tenant: Tenant) -> int:
    with all_tenants():
        return TenantCapacity.objects.get(tenant=tenant).in_flight


def states(jobs: list[Job]) -> list[str]:
    return [reload(job).state for job in jobs]


def test_returning_tenant_precedes_what_waits_in_a_list(acme: Tenant, other: Tenant, work: Pool) -> None:
    jobs = work.submit(acme, MOST + 1)
    (held,) = work.hold()
    (first,) = work.submit(other)
    # It starts at the time of the job that waits next, and takes its turn after that.
    assert work.take_back() == jobs[2:MOST]
    assert causes() == {CAME_FIRST}
    assert states(jobs) == ["executing", "dispatched", *["available"] * (MOST - 1)]
    assert work.tick().dispatched == 0
    held.settle()
    held.settle()
    assert held.current is None
    (following,) = work.hold()
    assert following.jobs == [first.pk, *[job.pk for job in jobs[2:]]]


def test_tenant_whose_rows_are_locked_cuts_no_list(acme: Tenant, other: Tenant, work: Pool) -> None:
    work.submit(acme, 5)
    work.hold()
    work.submit(other)
    work.tick()
    with all_tenants():
        PoolClock.objects.update(locked_tenants={str(other.pk): {}})
    assert take_back_held(work.pool.pk) == take_back.TakenBack()
    with all_tenants():
        PoolClock.objects.update(locked_tenants={})
    assert take_back_held(work.pool.pk).count == 3


@pytest.mark.parametrize(("soon_us", "state"), [(60_000_000, "dispatched"), (0, "available")])
def test_slot_that_is_free_soon_is_claimed_at_once(
    acme: Tenant, other: Tenant, work: Pool, monkeypatch: pytest.MonkeyPatch, soon_us: int, state: str
) -> None:
    monkeypatch.setattr(take_back, "SOON_US", soon_us)
    work.submit(acme, 5)
    work.hold()
    (first,) = work.submit(other)
    work.tick()
    run_tick(work.pool.pk, ending=take_back_held(work.pool.pk).ending)
    assert states([first]) == [state]


def test_returned_job_is_as_if_never_dispatched(acme: Tenant, other: Tenant, work: Pool) -> None:
    work.submit(acme, 5)
    work.hold()
    work.submit(other)
    (job, *_) = work.take_back()
    assert (job.state, job.attempt, job.crash_count, job.started_at) == ("available", 0, 0, None)
    with all_tenants():
        assert Charge.objects.filter(job_id=job.pk).aggregate(Sum("microseconds"))["microseconds__sum"] == 0
    assert (in_flight_of(acme), in_flight_of(other)) == (1, 0)


def test_virtual_times_are_those_without_the_returned_jobs(acme: Tenant, other: Tenant, work: Pool) -> None:
    """Also if weights were edited meanwhile: a charge is corrected at the weight at which it was made."""
    work.submit(acme, 5)
    with all_tenants():
        before = FairShareNode.objects.get(tenant=acme).vruntime
    work.hold()
    update_tenant(tenant=acme, changes={"weight_factor": 4})
    work.submit(other)
    returned = work.take_back()
    work.tick()
    with all_tenants():
        weight_milli = LiveExecution.objects.filter(tenant=acme).first().weight_milli  # type: ignore[union-attr]
        service = (5 - len(returned)) * (JOB_US * 1_000_000 // weight_milli)
        assert FairShareNode.objects.get(tenant=acme).vruntime == before + service


def test_job_of_a_tenant_that_is_not_ahead_stays_in_its_list(acme: Tenant, other: Tenant, work: Pool) -> None:
    work.submit(acme, 2)
    work.hold()
    work.submit(other)
    assert work.take_back() == []


def test_returning_queue_precedes_what_waits_in_a_list(acme: Tenant, globex: Tenant, work: Pool) -> None:
    jobs = work.submit(acme, MOST + 1)
    (held,) = work.hold()
    (first,) = work.submit(globex)
    assert work.take_back() == jobs[2:MOST]
    held.settle()
    held.settle()
    (following,) = work.hold()
    following.settle()
    (last,) = work.hold()
    # The returning queue begins at the time of what ran, so that neither waits for a second job of the other.
    assert {following.jobs[0], last.jobs[0]} == {first.pk, jobs[2].pk}


def test_one_job_cuts_one_list(acme: Tenant, other: Tenant, work: Pool) -> None:
    work.set_slots(2)
    work.submit(acme, 12)
    near, far = work.hold()
    set_started(near, seconds_ago=1)
    set_started(far, seconds_ago=10)
    work.submit(other)
    returned = work.take_back()
    assert returned
    assert {job.pk for job in returned} < set(near.jobs)
    # A slot is now free as soon as it can be.
    assert work.take_back() == []


def test_list_is_not_cut_while_a_slot_is_about_to_be_free(acme: Tenant, other: Tenant, work: Pool) -> None:
    work.set_slots(2)
    work.submit(acme, 12)
    near, far = work.hold()
    while near.waiting:
        near.settle()
    set_started(near, seconds_ago=1)
    set_started(far, seconds_ago=10)
    work.submit(other)
    assert work.take_back() == []


def test_tenant_with_a_job_in_flight_cuts_no_list(acme: Tenant, other: Tenant, work: Pool) -> None:
    work.set_slots(2)
    work.submit(other)
    work.hold()
    work.submit(acme, 5)
    work.hold()
    work.submit(other)
    assert work.take_back() == []


def test_order_of_arrival_takes_nothing_back(acme: Tenant, other: Tenant, work: Pool) -> None:
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(strategy=CFSPlan.Strategy.NOP)
    work.submit(acme, 6)
    work.hold()
    work.submit(other)
    assert work.take_back() == []


def pause_queues() -> None:
    with all_tenants():
        queues = list(Queue.objects.all())
    for queue in queues:
        pause_queue(queue=queue, reason="a test")


def cap_queues() -> None:
    with all_tenants():
        Queue.objects.update(cap=0)


STOPS: dict[str, tuple[Callable[[Tenant, Pool], object], str]] = {
    "tenant paused": (lambda acme, _: pause_tenant(tenant=acme, reason="a test"), "the tenant was paused or suspended"),
    "suspended": (lambda acme, _: suspend_tenant(tenant=acme, reason="a test"), "the tenant was paused or suspended"),
    "queue paused": (lambda *_: pause_queues(), "the queue was paused"),
    "pool paused": (lambda _, work: pause_pool(pool=work.pool), "the worker pool was paused or drained"),
    "pool drained": (lambda _, work: drain_pool(pool=work.pool), "the worker pool was paused or drained"),
    "worker drained": (lambda _, work: drain_worker(worker_id=work.worker.worker_id), "the worker was drained"),
    "kind paused": (lambda *_: pause_kind(kind="noop", reason="a test"), "the job kind was paused"),
    "cap of queue": (lambda *_: cap_queues(), "a concurrency limit was lowered"),
}


@pytest.mark.parametrize("stop", STOPS)
def test_stop_returns_what_has_not_begun(acme: Tenant, work: Pool, stop: str) -> None:
    jobs = work.submit(acme, 5)
    (held,) = work.hold()
    act, cause = STOPS[stop]
    act(acme, work)
    assert work.take_back() == jobs[1:]
    assert causes() == {cause}
    assert states(jobs) == ["executing", *["available"] * 4]
    held.settle()
    assert work.tick().dispatched == 0
    assert in_flight_of(acme) == 0
    assert [reload(job).attempt for job in jobs] == [0] * 5


def test_open_breaker_returns_what_has_not_begun(acme: Tenant, other: Tenant, work: Pool) -> None:
    jobs = work.submit(acme, 2)
    work.submit(other, 2)
    work.hold()
    with tenant_context(acme):
        force_circuit(kind="noop", tenant_id=acme.pk, is_open=True, reason="a test")
    assert work.take_back() == jobs[1:]
    assert causes() == {"a circuit breaker opened"}


def test_lowered_cap_of_a_tenant_returns_what_has_not_begun(acme: Tenant, other: Tenant, work: Pool) -> None:
    work.set_slots(2)
    jobs = work.submit(acme, MOST + 1)
    work.submit(other, 2)
    begun = [held.jobs[0] for held in work.hold()]
    assert in_flight_of(acme) == 2
    update_tenant(tenant=acme, changes={"max_concurrency": 1})
    assert work.take_back() == [job for job in jobs if job.pk not in begun]
    assert causes() == {"a concurrency limit was lowered"}


def test_execution_that_begins_first_is_not_returned(acme: Tenant, work: Pool) -> None:
    jobs = work.submit(acme, 4)
    (held,) = work.hold()
    pause_kind(kind="noop", reason="a test")
    assert held.settle().begun is not None
    assert work.take_back() == jobs[2:]
    assert states(jobs) == ["completed", "executing", "available", "available"]


def test_execution_that_is_returned_first_does_not_begin(acme: Tenant, work: Pool) -> None:
    jobs = work.submit(acme, 4)
    (held,) = work.hold()
    pause_kind(kind="noop", reason="a test")
    assert work.take_back() == jobs[1:]
    assert held.settle().begun is None
    assert states(jobs) == ["completed", *["available"] * 3]


def test_cancelled_job_is_not_returned(acme: Tenant, work: Pool) -> None:
    jobs = work.submit(acme, 3)
    work.hold()
    with tenant_context(acme):
        cancel_jobs(job_ids=[jobs[1].pk])
    pause_kind(kind="noop", reason="a test")
    assert work.take_back() == jobs[2:]
    assert states(jobs) == ["executing", "cancelled", "available"]


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("measured_us", [JOB_US // 3, 3 * JOB_US])
def test_steady_tenants_take_nothing_from_each_other(
    acme: Tenant, other: Tenant, work: Pool, slots: int, measured_us: int
) -> None:
    """Although each job is predicted wrongly, by the same factor and for good."""
    work.set_slots(slots)
    work.submit(acme, 60)
    work.submit(other, 60)
    returned, lists = 0, []
    for _ in range(60):
        lists = [held for held in [*lists, *work.hold()] if held.current is not None]
        returned += take_back_held(work.pool.pk).count
        for held in lists:
            held.settle(measured_us=measured_us)
        predict("noop", JOB_US)
    assert returned <= 1


def test_held_execution_is_shown_as_held(acme: Tenant, work: Pool) -> None:
    jobs = work.submit(acme, 3)
    work.tick()
    with tenant_context(acme):
        assert [live_execution_of(job).state for job in jobs] == ["dispatched"] * 3  # type: ignore[union-attr]
    work.hold()
    with tenant_context(acme):
        assert [live_execution_of(job).state for job in jobs] == ["executing", "held", "held"]  # type: ignore[union-attr]


def test_cause_is_translated() -> None:
    assert fact_words("cause", CAME_FIRST) == "cause another tenant came first"
    with translation.override("zh-hans"):
        assert "another tenant" not in fact_words("cause", CAME_FIRST)
