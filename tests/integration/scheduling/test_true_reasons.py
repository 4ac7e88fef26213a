"""No waiting job is without a reason, and none is told a wrong one: on random walks, with planted bugs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction

from scheduling.lifecycle import TERMINAL_STATES, JobState
from scheduling.models import Job, Queue, Worker, WorkerPool
from scheduling.selectors import waiting as waiting_module
from scheduling.selectors.standing import Standing, Stop, read_standing
from scheduling.selectors.waiting import why_waiting
from scheduling.services.dispatching import run_tick
from scheduling.services.pauses import pause_queue, resume_queue
from scheduling.services.topology import update_queue
from scheduling.services.workers import Registration
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.services.tenants import pause_tenant, resume_tenant
from tests.integration.scheduling.acts import Tick, submit
from tests.integration.scheduling.test_invariants import Walk

pytestmark = pytest.mark.django_db

STEPS = 60
LOOK_EVERY = 6


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
