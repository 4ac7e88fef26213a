"""Waiting reasons on random walks and with planted bugs: every waiting job has one, and it is correct."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from scheduling.breakers.service import reset_circuit
from scheduling.dispatch.tick import run_tick
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState
from scheduling.jobs.waits import reasons as waiting_module
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.jobs.waits.start_conditions import ActiveCircuit, ActiveStop, StartConditions, read_start_conditions
from scheduling.kit import registry
from scheduling.models import Job, JobDue, PoolClock, Queue, Worker, WorkerPool
from scheduling.stops.pauses import resume_kind, resume_pool, resume_queue
from scheduling.topology.service import update_queue
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.tenancy.service import reinstate_tenant, resume_tenant, update_tenant
from tests.integration.scheduling.job_helpers import Tick, submit
from tests.integration.scheduling.jobs.waits.test_waiting_reasons import CASES, Case
from tests.integration.scheduling.random_walk import MOST_TICKS
from tests.integration.scheduling.random_walk_with_stops import StoppingWalk
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db

STEPS = 100
LOOK_EVERY = 5
# A tick with free slots for all takes no job with one of these reasons.
STOPS = {case.code for case in CASES} - {"no_free_slot"} | {"scheduled", "retry_backoff", "suspended"}


class RolledBackError(Exception):
    """An exception that rolls an attempt back."""


def jobs_with_wrong_reasons(pool: WorkerPool) -> list[str]:
    """Return jobs with a wrong reason: none; only their turn, though a tick with free slots takes none like them;
    or a stop, though the tick takes them.
    """
    codes_by_job = _codes_by_job()
    silent = [str(job.pk) for job, codes in codes_by_job.items() if not codes]
    taken = _taken_by_ticks_with_free_slots(pool, lambda: None)
    hopeful = [
        job for job, codes in codes_by_job.items() if codes == {"waiting_for_turn"} and not _has_reason(job, taken)
    ]
    stopped = [
        f"{job.pk} has the reasons {codes_by_job[job] & STOPS}" for job in taken if codes_by_job.get(job, set()) & STOPS
    ]
    return silent + [f"{job.pk} only waits" for job in hopeful] + stopped


def jobs_with_missing_reasons(pool: WorkerPool) -> list[str]:
    """Return jobs of which none starts though all their reasons are lifted."""
    found = []
    for job, codes in _codes_by_job().items():
        if codes & {"suspended", "awaits_answer", "awaits_children", "dispatched"}:
            continue
        taken = _taken_by_ticks_with_free_slots(pool, lambda job=job, codes=codes: _lift(job, codes))
        if not _has_reason(job, taken):
            found.append(f"{job.pk} has the reasons {codes}, and that is not all")
    return found


def _codes_by_job() -> dict[Job, set[str]]:
    with all_tenants():
        jobs = list(Job.objects.select_related("queue", "tenant__plan").exclude(state__in=TERMINAL_STATES))
        explanations = {job: why_waiting(job) for job in jobs if job.state != JobState.EXECUTING}
    return {
        job: {r.code for r in explanation.reasons} if explanation else set()
        for job, explanation in explanations.items()
    }


def _taken_by_ticks_with_free_slots(pool: WorkerPool, first: Callable[[], object]) -> list[Job]:
    taken: list[Job] = []
    try:
        with transaction.atomic():
            with all_tenants():
                before = set(Job.objects.in_flight().values_list("pk", flat=True))
                Worker.objects.filter(slots__gt=0).update(slots=1_000)
            first()
            for _ in range(MOST_TICKS):
                if not run_tick(pool.pk).has_more:
                    break
            with all_tenants():
                taken = list(Job.objects.in_flight().exclude(pk__in=before))
            raise RolledBackError
    except RolledBackError:
        return taken


def _has_reason(job: Job, taken: Iterable[Job]) -> bool:
    """Return whether the job was taken, or one before it of its tenant with a cap or its queue with a cap."""
    return any(other.tenant_id == job.tenant_id or other.queue_id == job.queue_id for other in taken)


def _lift(job: Job, codes: Iterable[str]) -> None:
    """End all reasons of a job."""
    with all_tenants():
        tenant, queue = Tenant.objects.get(pk=job.tenant_id), Queue.objects.get(pk=job.queue_id)
        pool = WorkerPool.objects.get(pk=queue.pool_id)
    lifts: Mapping[str, Callable[[], object]] = {
        "scheduled": lambda: _come_due(job),
        "retry_backoff": lambda: _come_due(job),
        "tenant_suspended": lambda: reinstate_tenant(tenant=tenant, reason="x"),
        "tenant_paused": lambda: resume_tenant(tenant=tenant),
        "tenant_cap_reached": lambda: update_tenant(tenant=tenant, changes={"max_concurrency": 1_000}),
        "kind_paused": lambda: resume_kind(kind=job.kind),
        "circuit_open": lambda: _close_circuit(job),
        "queue_paused": lambda: resume_queue(queue=queue),
        "queue_cap_reached": lambda: update_queue(queue=queue, changes={"cap": None}),
        "queue_rate_reached": lambda: update_queue(queue=queue, changes={"dispatches_per_minute": None}),
        "pool_paused": lambda: resume_pool(pool=pool),
        "no_workers": _refresh_heartbeats,
        # Ticks with free slots end these, or the dispatcher's own progress does.
        "no_free_slot": lambda: None,
        "yielded": lambda: None,
        "waiting_for_turn": lambda: None,
    }
    for code in codes:
        lifts[code]()


def _come_due(job: Job) -> None:
    with all_tenants():
        JobDue.objects.filter(job_id=job.pk).update(due_at=timezone.now() - timedelta(hours=1))


def _close_circuit(job: Job) -> None:
    with tenant_context(job.tenant_id):
        reset_circuit(kind=job.kind, tenant_id=job.tenant_id)


def _refresh_heartbeats() -> None:
    with all_tenants():
        Worker.objects.update(heartbeat_at=Now() + timedelta(hours=1), status="online")


@pytest.mark.parametrize("seed", range(4))
def test_every_waiting_job_has_a_correct_reason(
    acme: Tenant,
    globex: Tenant,
    tick: Tick,
    worker: Registration,
    pool: WorkerPool,
    change_platform_settings: ChangePlatformSettings,
    seed: int,
) -> None:
    change_platform_settings(CIRCUIT_FAILURES=2)
    _refresh_heartbeats()
    with all_tenants():
        # The database's time stands still in the test's transaction, unlike the clock that a standing is read by.
        PoolClock.objects.update(ticked_at=Now() + timedelta(hours=1))
    walk = StoppingWalk(seed, [acme, globex], tick, worker)
    for number in range(STEPS):
        walk.step()
        if number % LOOK_EVERY == 0:
            # Executions that ended since the last tick still count as running, for the reasons and for the dispatcher.
            while tick().has_more:
                pass
            assert jobs_with_wrong_reasons(pool) == [], f"seed {seed}, step {number}"
            assert jobs_with_missing_reasons(pool) == [], f"seed {seed}, step {number}"


@pytest.fixture
def hungry_noops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kind noop need a medium pool, so that a small one is too small for it."""
    monkeypatch.setattr(registry, "memory_needs", lambda: {"noop": 512})


OFF, ON = ActiveStop(is_on=False, reason="", until=None), ActiveStop(is_on=True, reason="x", until=None)
CIRCUIT_OFF, CIRCUIT_ON = (
    ActiveCircuit(is_on=is_on, reason="", until=None, dependency="", is_shared=False, is_forced=False)
    for is_on in (False, True)
)
LATER = timezone.now() + timedelta(hours=1)
# The standing's value if a reason is missing, and if it is invented.
BUGS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "tenant_paused": ({"tenant_pause": OFF}, {"tenant_pause": ON}),
    "tenant_suspended": ({"suspension": OFF}, {"suspension": ON}),
    "tenant_cap_reached": ({"tenant_in_flight": 0}, {"tenant_in_flight": 1_000}),
    "worker_seconds_used_up": ({"has_worker_time": True}, {"has_worker_time": False}),
    "cpu_seconds_used_up": ({"used_up": None}, {"used_up": "cpu_seconds_per_month"}),
    "io_used_up": ({"used_up": None}, {"used_up": "io_mib_per_month"}),
    "kind_paused": ({"kind_pause": OFF}, {"kind_pause": ON}),
    "circuit_open": ({"circuit": CIRCUIT_OFF}, {"circuit": CIRCUIT_ON}),
    "memory_class": ({"memory_need": 0}, {"memory_need": 100_000}),
    "kind_unknown": ({"is_kind_announced": True}, {"is_kind_announced": False}),
    "queue_paused": ({"queue_pause": OFF}, {"queue_pause": ON}),
    "queue_cap_reached": ({"queue_in_flight": 0}, {"queue_cap": 1, "queue_in_flight": 1}),
    "queue_rate_reached": ({"rate_opens_at": None}, {"rate_opens_at": LATER}),
    "pool_paused": ({"pool_pause": OFF}, {"pool_pause": ON}),
    "pool_draining": ({"pool_drain": OFF}, {"pool_drain": ON}),
    "no_workers": ({"slots": 1_000}, {"slots": 0}),
}
STOPPING = [case for case in CASES if case.code in BUGS]


def test_every_stop_has_its_planted_bugs() -> None:
    assert set(BUGS) == {case.code for case in CASES} - {"no_free_slot"}


def plant(monkeypatch: pytest.MonkeyPatch, change: Mapping[str, Any]) -> None:
    monkeypatch.setattr(
        waiting_module, "read_start_conditions", lambda job: _changed(read_start_conditions(job), change)
    )


def _changed(standing: StartConditions, change: Mapping[str, Any]) -> StartConditions:
    return replace(standing, **change)


@pytest.mark.parametrize("case", STOPPING, ids=lambda case: case.code)
def test_missing_reason_is_found(
    acme: Tenant,
    tick: Tick,
    worker: Registration,
    pool: WorkerPool,
    hungry_noops: None,
    monkeypatch: pytest.MonkeyPatch,
    case: Case,
) -> None:
    submit(acme, 2 if case.runs_one_before else 1)
    case.block(acme)
    while tick().has_more:
        pass
    assert jobs_with_wrong_reasons(pool) == []
    plant(monkeypatch, BUGS[case.code][0])
    assert len(jobs_with_wrong_reasons(pool)) == len(jobs_with_missing_reasons(pool)) == 1


@pytest.mark.parametrize("case", STOPPING, ids=lambda case: case.code)
def test_invented_reason_is_found(
    acme: Tenant, tick: Tick, worker: Registration, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    update_tenant(tenant=acme, changes={"max_concurrency": 6})
    submit(acme, 5, "sleep", payload={"seconds": 0})
    tick()
    assert jobs_with_wrong_reasons(pool) == []
    plant(monkeypatch, BUGS[case.code][1])
    assert len(jobs_with_wrong_reasons(pool)) == 1
