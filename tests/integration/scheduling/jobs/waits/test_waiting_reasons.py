"""Waiting reasons one by one: each holds its jobs with that reason and no others, and they return without credit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.db.models.functions import Now

from scheduling.breakers.service import reset_circuit
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import JobState
from scheduling.kit import registry
from scheduling.models import Circuit, FairShareNode, Job, PoolClock, Queue, QueueClock, Worker, WorkerPool
from scheduling.stops.pauses import (
    drain_pool,
    pause_kind,
    pause_pool,
    pause_queue,
    resume_kind,
    resume_pool,
    resume_queue,
)
from scheduling.topology.service import update_queue, update_worker_pool
from tenants.context import all_tenants, tenant_context
from tenants.limits.service import set_tenant_limit
from tenants.models import Tenant
from tenants.tenancy.service import pause_tenant, reinstate_tenant, resume_tenant, suspend_tenant, update_tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, in_flight, reasons_of, reload, submit

pytestmark = pytest.mark.django_db

TEAM = "tasks_team"
# Far beyond what the few jobs of a test are charged.
LONG_GONE = 10**15
SLEEP: dict[str, Any] = {"kind": "sleep", "payload": {"seconds": 0}}


def team() -> Queue:
    return Queue.objects.get(name=TEAM)


def pool() -> WorkerPool:
    return WorkerPool.objects.get(name="default")


def cap(tenant: Tenant, value: int | None) -> None:
    update_tenant(tenant=tenant, changes={"max_concurrency": value})


def slots(count: int) -> None:
    with all_tenants():
        Worker.objects.update(slots=count)


def worker_seconds(tenant: Tenant, value: int | None) -> None:
    set_tenant_limit(tenant=tenant, key="worker_seconds_per_month", value=value, reason="x", expires_at=None)


def resource(tenant: Tenant, key: str, value: int) -> None:
    set_tenant_limit(tenant=tenant, key=key, value=value, reason="x")


def announce(kinds: list[str]) -> None:
    with all_tenants():
        WorkerPool.objects.filter(pk=pool().pk).update(kinds=kinds)


def open_circuit(tenant: Tenant) -> None:
    with all_tenants():
        Circuit.objects.create(
            tenant=tenant,
            kind="noop",
            holds_all=True,
            state="open",
            failures=10,
            fingerprint="f" * 16,
            error_type="Down",
            error_message="is down",
            counted_from=Now(),
            opened_at=Now(),
            until="2100-01-01T00:00:00Z",
        )


def close_circuit(tenant: Tenant) -> None:
    with tenant_context(tenant):
        reset_circuit(kind="noop", tenant_id=tenant.pk)


def forget_rate() -> None:
    with all_tenants():
        QueueClock.objects.update(arrival_us=0)


@dataclass(frozen=True, slots=True)
class Case:
    """One reason: how to create and end it; `runs` are the neighbours that it does not affect."""

    code: str
    block: Callable[[Tenant], object]
    unblock: Callable[[Tenant], object]
    runs: tuple[str, ...] = ("other kind", "other tenant")
    # A cap is reached by a running job, and ends with it.
    runs_one_before: bool = False
    # The queue returns, not the tenant in it.
    is_of_queue: bool = False


NONE: tuple[str, ...] = ()
OTHER = ("other tenant",)
CASES = [
    Case("tenant_paused", lambda t: pause_tenant(tenant=t, reason="x"), lambda t: resume_tenant(tenant=t), OTHER),
    Case(
        "tenant_suspended",
        lambda t: suspend_tenant(tenant=t, reason="x"),
        lambda t: reinstate_tenant(tenant=t, reason="x"),
        OTHER,
    ),
    Case("tenant_cap_reached", lambda t: cap(t, 1), lambda t: cap(t, 3), OTHER, runs_one_before=True),
    Case("worker_seconds_used_up", lambda t: worker_seconds(t, 0), lambda t: worker_seconds(t, 10**6), OTHER),
    Case(
        "cpu_seconds_used_up",
        lambda t: resource(t, "cpu_seconds_per_month", 0),
        lambda t: resource(t, "cpu_seconds_per_month", 9),
        OTHER,
    ),
    Case(
        "io_used_up", lambda t: resource(t, "io_mib_per_month", 0), lambda t: resource(t, "io_mib_per_month", 9), OTHER
    ),
    Case("kind_paused", lambda t: pause_kind(kind="noop", reason="x"), lambda t: resume_kind(kind="noop")),
    Case("circuit_open", open_circuit, close_circuit),
    Case(
        "memory_class",
        lambda t: update_worker_pool(pool=pool(), changes={"memory_mib": 256}),
        lambda t: update_worker_pool(pool=pool(), changes={"memory_mib": 512}),
    ),
    Case("kind_unknown", lambda t: announce(["sleep"]), lambda t: announce(["noop", "sleep"])),
    Case(
        "queue_paused",
        lambda t: pause_queue(queue=team(), reason="x"),
        lambda t: resume_queue(queue=team()),
        OTHER,
        is_of_queue=True,
    ),
    Case(
        "queue_cap_reached",
        lambda t: update_queue(queue=team(), changes={"cap": 1}),
        lambda t: update_queue(queue=team(), changes={"cap": None}),
        OTHER,
        runs_one_before=True,
        is_of_queue=True,
    ),
    Case(
        "queue_rate_reached",
        lambda t: update_queue(queue=team(), changes={"dispatches_per_minute": 1, "dispatch_burst": 1}),
        lambda t: forget_rate(),
        OTHER,
        runs_one_before=True,
        is_of_queue=True,
    ),
    Case("pool_paused", lambda t: pause_pool(pool=pool(), reason="x"), lambda t: resume_pool(pool=pool()), NONE),
    Case("pool_draining", lambda t: drain_pool(pool=pool(), reason="x"), lambda t: resume_pool(pool=pool()), NONE),
    Case("no_workers", lambda t: slots(0), lambda t: slots(4), NONE),
    Case("no_free_slot", lambda t: slots(1), lambda t: slots(4), NONE, runs_one_before=True),
]


@pytest.fixture(autouse=True)
def hungry_noops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kind noop need a medium pool, so that a small one is too small for it."""
    monkeypatch.setattr(registry, "memory_needs", lambda: {"noop": 512})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_reason_holds_its_jobs_and_no_others(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start, case: Case
) -> None:
    if case.runs_one_before:
        submit(acme)
    (blocked,) = submit(acme)[-1:] if not case.runs_one_before else [submit(acme)[0]]
    neighbours = {"other kind": submit(acme, 1, **SLEEP)[0], "other tenant": submit(globex, 1, **SLEEP)[0]}
    case.block(acme)
    for _ in range(4):
        tick()
    assert reload(blocked).state == JobState.AVAILABLE
    with tenant_context(acme):
        assert case.code in [reason.code for reason in reasons_of(Job.objects.get(pk=blocked.pk))]
    ran = {name for name, job in neighbours.items() if reload(job).state != JobState.AVAILABLE}
    assert ran == set(case.runs)
    _let_others_go_far_ahead()
    case.unblock(acme)
    for job in in_flight():
        complete(start, job)
    for _ in range(3):
        tick()
    assert reload(blocked).state == JobState.DISPATCHED
    with all_tenants():
        entity = FairShareNode.objects.get(tenant=acme)
        clock = QueueClock.objects.get(queue=entity.queue_id)
    if case.is_of_queue:
        assert clock.vruntime >= LONG_GONE
    elif case.runs != NONE:
        assert entity.vruntime >= LONG_GONE


def test_slots_are_not_named_while_a_pause_holds_the_job(acme: Tenant, tick: Tick, worker: Registration) -> None:
    slots(1)
    (_, waiting) = submit(acme, 2)
    tick()
    with tenant_context(acme):
        assert [reason.code for reason in reasons_of(waiting)] == ["no_free_slot"]
        pause_kind(kind="noop", reason="x")
        assert [reason.code for reason in reasons_of(waiting)] == ["kind_paused"]


def _let_others_go_far_ahead() -> None:
    with all_tenants():
        PoolClock.objects.update(virtual_time=LONG_GONE)
        QueueClock.objects.update(virtual_time=LONG_GONE)


def test_pool_that_is_too_small_refuses_the_job_at_submission(acme: Tenant, api_client: Any) -> None:
    update_worker_pool(pool=pool(), changes={"memory_mib": 256})
    answer = api_client(acme).post("/api/v1/jobs/", {"kind": "noop", "payload": {}}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "memory_class")
    assert "512 MiB" in answer.json()["detail"]
    assert api_client(acme).post("/api/v1/jobs/", SLEEP, format="json").status_code == 201
