"""Pauses and drains: what they hold, what they refuse, how they end."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from scheduling.exceptions import DrainingError, KindUnknownError, WorkerNotFoundError
from scheduling.execution.leases import heartbeat
from scheduling.fleet.workers import Registration, drain_worker, resume_worker
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.models import Drain, JobHeld, JobReady, KindPause, Queue, QueueClock, Worker, WorkerPool
from scheduling.stops.drains import SETTLING_SECONDS, note_drained
from scheduling.stops.expiry import expire_due_stops
from scheduling.stops.pauses import (
    drain_kind,
    drain_pool,
    drain_queue,
    pause_kind,
    pause_pool,
    pause_queue,
    resume_kind,
    resume_pool,
    resume_queue,
)
from scheduling.stops.queries import list_stops, read_drain_progress, read_target_state
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.exceptions import FieldInvalidError, ReasonRequiredError
from tenants.models import AuditLogEntry, Tenant, TenantStatus
from tenants.tenancy.service import drain_tenant, pause_tenant, reinstate_tenant, resume_tenant, suspend_tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, in_flight, reasons_of, reload, submit

pytestmark = pytest.mark.django_db
QUEUE = "tasks_team"


def soon(**delta: float) -> datetime:
    return timezone.now() + timedelta(**delta or {"hours": 1})


def set_past(table: str, column: str) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = now() - interval '1 millisecond' WHERE {column} IS NOT NULL")


def age_drains() -> None:
    """Let every drain have begun long enough ago that it may be noted as over."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE scheduling_drain SET started_at = started_at - interval '{SETTLING_SECONDS} s'")
        cursor.execute(f"UPDATE tenants_tenant SET draining_at = draining_at - interval '{SETTLING_SECONDS} s'")


def actions() -> list[tuple[str, str]]:
    with all_tenants():
        return list(AuditLogEntry.objects.order_by("id").values_list("action", "actor_kind"))


def reasons(tenant: Tenant, job_id: object) -> dict[str, str]:
    from scheduling.models import Job

    with tenant_context(tenant):
        return {reason.code: reason.detail for reason in reasons_of(Job.objects.get(pk=job_id))}


@pytest.fixture
def queue(db: None) -> Queue:
    return Queue.objects.get(name=QUEUE)


def test_paused_pool_gets_no_jobs_and_its_running_jobs_continue(
    acme: Tenant, tick: Tick, start: Start, pool: WorkerPool
) -> None:
    running, *_ = submit(acme, 1)
    tick()
    started = begin(start, running)
    submit(acme, 2)
    pause_pool(pool=pool, reason="deploy")
    assert tick().dispatched == 0
    assert reload(running).state == "executing"
    assert started.fence
    resume_pool(pool=pool)
    assert tick().dispatched == 2


def test_second_pause_changes_reason_and_end_and_keeps_its_start(queue: Queue) -> None:
    pause_queue(queue=queue, reason="disk")
    since, until = queue.paused_at, soon()
    pause_queue(queue=queue, reason="still the disk", until=until)
    assert (queue.pause_reason, queue.paused_until, queue.paused_at) == ("still the disk", until, since)
    pause_queue(queue=queue, reason="still the disk", until=until)
    assert [action for action, _ in actions()] == ["queue.paused", "queue.paused"]


NAIVE = datetime(2099, 1, 1)  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize("until", [NAIVE, timezone.now() - timedelta(days=1)])
def test_pause_end_in_the_past_or_without_a_zone_is_refused(queue: Queue, acme: Tenant, until: datetime) -> None:
    for pause in (
        lambda: pause_queue(queue=queue, reason="x", until=until),
        lambda: pause_kind(kind="noop", reason="x", until=until),
        lambda: drain_queue(queue=queue, reason="x", until=until),
        lambda: pause_tenant(tenant=acme, reason="x", until=until),
    ):
        with pytest.raises(FieldInvalidError):
            pause()
    queue.refresh_from_db()
    assert not queue.is_paused


def test_pause_by_a_person_needs_a_reason(queue: Queue) -> None:
    with acting_as(Actor(kind="user", label="ada")):
        for pause in (lambda: pause_queue(queue=queue, reason=" "), lambda: pause_kind(kind="noop")):
            with pytest.raises(ReasonRequiredError):
                pause()


def test_unknown_kind_cannot_be_paused() -> None:
    with pytest.raises(KindUnknownError):
        pause_kind(kind="nope", reason="x")


def test_pauses_end_once_at_their_time_and_are_audited(
    queue: Queue, pool: WorkerPool, acme: Tenant, globex: Tenant
) -> None:
    pause_queue(queue=queue, reason="x", until=soon())
    pause_pool(pool=pool, reason="x", until=soon())
    pause_kind(kind="noop", reason="x", until=soon())
    drain_kind(kind="sleep", reason="x", until=soon())
    pause_tenant(tenant=acme, reason="x", until=soon())
    drain_tenant(tenant=globex, reason="x", until=soon())
    assert expire_due_stops() == 0
    set_past("scheduling_queue", "paused_until")
    set_past("scheduling_workerpool", "paused_until")
    set_past("scheduling_kindpause", "paused_until")
    set_past("scheduling_drain", "until")
    set_past("tenants_tenant", "paused_until")
    set_past("tenants_tenant", "draining_until")
    already = len(actions())
    assert expire_due_stops() == 6
    assert expire_due_stops() == 0
    with all_tenants():
        assert list_stops() == []
    assert sorted(actions()[already:]) == [
        ("kind.resumed", "system"),
        ("kind.resumed", "system"),
        ("pool.resumed", "system"),
        ("queue.resumed", "system"),
        ("tenant.resumed", "system"),
        ("tenant.resumed", "system"),
    ]


def test_suspension_ends_at_its_time(acme: Tenant) -> None:
    suspend_tenant(tenant=acme, reason="unpaid", until=soon())
    set_past("tenants_tenant", "suspended_until")
    assert expire_due_stops() == 1
    with all_tenants():
        acme.refresh_from_db()
    assert acme.status != TenantStatus.SUSPENDED
    assert acme.status_reason == ""


def test_prolonged_pause_does_not_end_early(queue: Queue) -> None:
    pause_queue(queue=queue, reason="x", until=soon())
    set_past("scheduling_queue", "paused_until")
    pause_queue(queue=queue, reason="x", until=soon())
    assert expire_due_stops() == 0
    queue.refresh_from_db()
    assert queue.is_paused


@pytest.mark.django_db(transaction=True)
def test_concurrent_dispatchers_end_a_pause_once(queue: Queue) -> None:
    pause_queue(queue=queue, reason="x", until=soon())
    set_past("scheduling_queue", "paused_until")
    barrier, lifted = threading.Barrier(5), []

    def lift() -> None:
        barrier.wait()
        lifted.append(expire_due_stops())
        connections.close_all()

    threads = [threading.Thread(target=lift) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lifted) == 1
    assert [action for action, _ in actions()].count("queue.resumed") == 1


def test_paused_queue_earns_no_credit(queue: Queue, acme: Tenant, tick: Tick, worker: Registration) -> None:
    submit(acme, 1)
    with all_tenants():
        QueueClock.objects.filter(queue=queue).update(was_backlogged=True)
    pause_queue(queue=queue, reason="x")
    resume_queue(queue=queue)
    with all_tenants():
        assert not QueueClock.objects.get(queue=queue).was_backlogged


def test_each_stop_has_its_own_waiting_reason(
    queue: Queue, pool: WorkerPool, acme: Tenant, globex: Tenant, worker: Registration
) -> None:
    (job,) = submit(acme)
    until = soon()
    pause_queue(queue=queue, reason="disk", until=until)
    pause_kind(kind="noop", reason="bug 12")
    pause_pool(pool=pool, reason="secret machine room")
    pause_tenant(tenant=acme, reason="asked for")
    pause_tenant(tenant=globex, reason="not acme's affair")
    found = reasons(acme, job.pk)
    assert set(found) == {"queue_paused", "kind_paused", "pool_paused", "tenant_paused"}
    assert "disk" in found["queue_paused"]
    assert until.isoformat(timespec="seconds").replace("+00:00", "Z") in found["queue_paused"]
    assert "machine room" not in str(found)
    assert "affair" not in str(found)
    with all_tenants():
        job.refresh_from_db()
        assert "machine room" in str(why_waiting(job))
    resume_queue(queue=queue)
    resume_tenant(tenant=acme)
    assert set(reasons(acme, job.pk)) == {"kind_paused", "pool_paused"}


def test_tenant_sees_neither_foreign_stops_nor_their_actors(acme: Tenant, globex: Tenant, pool: WorkerPool) -> None:
    with acting_as(Actor(kind="user", label="stella")):
        pause_pool(pool=pool, reason="x")
        pause_kind(kind="noop", reason="bug 12")
        pause_tenant(tenant=globex, reason="x")
        drain_tenant(tenant=acme, reason="moving")
    with tenant_context(acme):
        assert [(stop.scope, stop.mode, stop.by) for stop in list_stops()] == [
            ("kind", "paused", ""),
            ("tenant", "draining", ""),
        ]
    with all_tenants():
        assert {stop.by for stop in list_stops()} == {"user:stella"}


@pytest.mark.parametrize("scope", ["queue", "kind", "tenant"])
def test_draining_target_refuses_new_jobs_until_empty(
    scope: str, queue: Queue, acme: Tenant, globex: Tenant, tick: Tick, start: Start
) -> None:
    (job,) = submit(acme)
    repeated = JobRequest("noop", idempotency_key="k")
    known = submit_job(tenant=acme, request=repeated).job
    if scope == "queue":
        drain_queue(queue=queue, reason="moving", until=soon(minutes=5))
    elif scope == "kind":
        drain_kind(kind="noop", reason="moving", until=soon(minutes=5))
    else:
        acme = drain_tenant(tenant=acme, reason="moving", until=soon(minutes=5))
    with pytest.raises(DrainingError, match="moving") as refused:
        submit_job(tenant=acme, request=JobRequest("noop"))
    assert refused.value.code == "draining"
    assert 290 < (refused.value.retry_after_seconds or 0) <= 301
    assert submit_job(tenant=acme, request=repeated).job.pk == known.pk
    if scope != "kind":
        submit(globex)
    age_drains()
    assert note_drained() == 0
    tick()
    complete(start, job)
    complete(start, known)
    tick()
    assert note_drained() == 1
    assert note_drained() == 0
    assert (f"{scope}.drained", "system") in actions()


def test_scheduled_job_keeps_a_drain_open(queue: Queue, acme: Tenant, tick: Tick) -> None:
    submit(acme, run_at=soon())
    tick()
    drain_queue(queue=queue, reason="moving")
    drain_kind(kind="noop", reason="moving")
    age_drains()
    assert note_drained() == 0


def test_drain_is_not_over_in_its_first_moment(queue: Queue) -> None:
    drain_queue(queue=queue, reason="moving")
    assert note_drained() == 0
    age_drains()
    assert note_drained() == 1


def test_drained_pool_is_idle_and_its_jobs_wait(acme: Tenant, tick: Tick, start: Start, pool: WorkerPool) -> None:
    (running,) = submit(acme)
    tick()
    begin(start, running)
    drain_pool(pool=pool, reason="deploy")
    (waiting,) = submit(acme)
    assert tick().dispatched == 0
    age_drains()
    assert note_drained() == 0
    assert "pool_draining" in reasons(acme, waiting.pk)
    resume_pool(pool=pool)
    assert tick().dispatched == 1


def test_resume_ends_pause_and_drain_with_one_audit_entry(queue: Queue, acme: Tenant) -> None:
    pause_queue(queue=queue, reason="x")
    drain_queue(queue=queue, reason="x")
    pause_kind(kind="noop", reason="x")
    drain_kind(kind="noop", reason="x")
    resume_queue(queue=queue)
    resume_kind(kind="noop")
    assert [action for action, _ in actions()][-2:] == ["queue.resumed", "kind.resumed"]
    assert not Drain.objects.exists()
    assert not KindPause.objects.exists()
    submit(acme)


def test_drain_progress_counts_waiting_running_and_ended_jobs(
    queue: Queue, acme: Tenant, globex: Tenant, tick: Tick, start: Start
) -> None:
    jobs = submit(acme, 8)
    submit(globex, 1)
    tick()
    for job in in_flight()[:1]:
        complete(start, job)
    with all_tenants():
        for scope, name in (("queue", QUEUE), ("tenant", "acme")):
            progress = read_drain_progress(scope=scope, name=name, now=timezone.now() + timedelta(seconds=1))
            assert progress.waiting + progress.in_flight in (7, 8), scope  # whichever tenant's job was completed
        kind = read_drain_progress(scope="kind", name="noop", now=timezone.now() + timedelta(seconds=1))
        assert kind.waiting + kind.in_flight == len(jobs)
        assert kind.per_minute == pytest.approx(0.2)
        assert kind.eta_seconds == pytest.approx(len(jobs) / 0.2 * 60)
        drain_queue(queue=queue, reason="x")
        state = read_target_state(scope="queue", name=QUEUE, now=timezone.now())
        assert state.is_draining
        assert state.progress is not None


def test_held_jobs_of_a_kind_return_oldest_first(
    acme: Tenant, tick: Tick, worker: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = submit(acme, 30)
    pause_kind(kind="noop", reason="x")
    while tick().has_more:
        pass
    with all_tenants():
        assert JobHeld.objects.count() == 30
    resume_kind(kind="noop")
    monkeypatch.setattr("scheduling.dispatch.collect.STAGE_ROWS", 7)
    from scheduling.dispatch.collect import stage_held

    with all_tenants():
        assert stage_held() == 7
        ready = set(JobReady.objects.values_list("job_id", flat=True))
    assert ready == {job.pk for job in sorted(jobs, key=lambda job: job.rank)[:7]}


def test_one_tick_sets_aside_far_more_held_jobs_than_it_read(acme: Tenant, tick: Tick, worker: Registration) -> None:
    submit(acme, 300)
    other = submit(acme, 1, kind="sleep", payload={"seconds": 0})
    pause_kind(kind="noop", reason="x")
    tick()
    with all_tenants():
        assert JobHeld.objects.count() == 300
    tick()
    assert [job.pk for job in in_flight()] == [job.pk for job in other]


def test_draining_workers_slots_are_neither_free_nor_used(
    acme: Tenant, tick: Tick, start: Start, worker: Registration
) -> None:
    jobs = submit(acme, 4)
    tick()
    for job in jobs[:2]:
        begin(start, job)
    drain_worker(worker_id=worker.worker_id, reason="scale in")
    assert tick().dispatched == 0
    beat = heartbeat(worker_id=worker.worker_id, is_stopping=False, execution_ids=[])
    assert beat.is_draining
    with all_tenants():
        assert Worker.objects.get(pk=worker.worker_id).status == "draining"
    resume_worker(worker_id=worker.worker_id)
    assert not heartbeat(worker_id=worker.worker_id, is_stopping=False, execution_ids=[]).is_draining


def test_stopping_worker_is_stopping_even_if_it_drained(worker: Registration) -> None:
    drain_worker(worker_id=worker.worker_id, reason="x")
    heartbeat(worker_id=worker.worker_id, is_stopping=True, execution_ids=[])
    with all_tenants():
        assert Worker.objects.get(pk=worker.worker_id).status == "stopping"


def test_unknown_worker_cannot_be_drained(db: None) -> None:
    with pytest.raises(WorkerNotFoundError):
        drain_worker(worker_id=uuid7(), reason="x")


def test_suspension_cancels_running_jobs_on_request(acme: Tenant, globex: Tenant, tick: Tick, start: Start) -> None:
    own, foreign, waiting = *submit(acme), *submit(globex), *submit(acme)
    tick()
    begin(start, own)
    begin(start, foreign)
    suspend_tenant(tenant=acme, reason="abuse", cancel_running=True)
    from scheduling.models import LiveExecution

    with all_tenants():
        asked = dict(LiveExecution.objects.values_list("job_id", "cancel_requested_at"))
    assert asked[own.pk] is not None
    assert asked[foreign.pk] is None
    assert reload(waiting).state == "cancelled"  # it was dispatched and not started
    reinstate_tenant(tenant=acme)
