"""Fair keys of a tenant: each has its own line, and together they have the tenant's share."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from django.db import connection

from scheduling.fleet.workers import Registration
from scheduling.jobs import fair_share_nodes
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.fair_share_nodes import delete_idle_key_nodes
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.jobs.tenant_queue import TenantIsolatedTaskQueue
from scheduling.models import CFSPlan, Execution, FairShareNode, JobEvent, LiveExecution, Queue, QueueClock
from scheduling.shares.standings import read_standings
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, in_flight, reload, submit

pytestmark = pytest.mark.django_db


def keys_in_flight() -> Counter[str]:
    return Counter(job.fair_key for job in in_flight())


def rows(**filters: object) -> list[FairShareNode]:
    with all_tenants():
        return list(FairShareNode.objects.filter(**filters).order_by("id"))


def row_of(key: str) -> FairShareNode:
    return next(row for row in rows() if row.fair_key == key)


def test_fair_keys_share_their_tenants_slots(acme: Tenant, globex: Tenant, worker: Registration, tick: Tick) -> None:
    for key in ("ann", "bob", "cem", "dan"):
        submit(acme, 5, fair_key=key)
    submit(globex, 5)
    tick()
    assert Counter(job.tenant_id for job in in_flight()) == {acme.pk: 2, globex.pk: 2}


def test_fair_keys_of_a_tenant_alternate(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, 10, fair_key="ann")
    submit(acme, 10, fair_key="bob")
    tick()
    assert keys_in_flight() == {"ann": 2, "bob": 2}


def test_jobs_without_a_key_have_a_line_of_their_own(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, 10, fair_key="ann")
    submit(acme, 10)
    tick()
    assert keys_in_flight() == {"ann": 2, "": 2}
    own, ann = rows()
    assert (own.parent_id, ann.parent_id) == (None, own.pk)
    assert (own.in_flight, own.keys_in_flight, ann.in_flight) == (2, 2, 2)
    assert (own.waiting, own.keys_waiting, ann.waiting) == (8, 8, 8)


def test_late_fair_key_gets_no_credit(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, 10, fair_key="ann")
    with all_tenants():
        FairShareNode.objects.filter(fair_key="ann").update(vruntime=10**12)
        FairShareNode.objects.filter(fair_key="").update(virtual_time=10**12)
    submit(acme, 10, fair_key="bob")
    submit(acme, 10)
    tick()
    assert sorted(keys_in_flight().values()) == [1, 1, 2]
    assert min(row.vruntime for row in rows() if row.fair_key) > 10**12
    assert row_of("").own_vruntime > 10**12


@pytest.mark.parametrize("keys", [("ann", "bob"), ("", "bob"), ("ann", "")])
def test_new_line_does_not_wait_for_service_only_predicted(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick, start: Start, keys: tuple[str, str]
) -> None:
    with all_tenants():
        Queue.objects.update(expected_seconds=3_600)
    jobs = submit(acme, 8, fair_key=keys[0])
    tick()
    for job in jobs[:4]:
        complete(start, job)
    submit(acme, 1, fair_key=keys[1])
    submit(globex, 1)
    tick()
    own, *others = rows(tenant=acme)
    hour = 3_600 * 10**9
    newcomer = others[-1].vruntime if keys[1] else own.own_vruntime
    assert newcomer < hour
    assert own.virtual_time < hour
    assert rows(tenant=globex)[0].vruntime < hour
    with all_tenants():
        assert QueueClock.objects.get(queue=jobs[0].queue).virtual_time < hour


def test_measured_time_is_charged_to_the_key_and_to_its_tenant(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    job = submit(acme, fair_key="ann")[0]
    tick()
    complete(start, job)
    tick()
    with all_tenants():
        measured = Execution.objects.get().measured_us
    own, ann = rows()
    assert ann.vruntime == measured * 1_000
    assert own.vruntime == measured * 1_000_000 // own.weight_milli
    assert (own.own_vruntime, own.keys_in_flight, ann.in_flight) == (0, 0, 0)


def test_dispatch_event_contains_what_decided_it(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick
) -> None:
    queue = submit(acme, 1, fair_key="ann")[0].queue
    submit(globex, 2)
    with all_tenants():
        FairShareNode.objects.update(queue=queue)  # both tiers share one queue
        connection.cursor().execute("UPDATE scheduling_wake SET queue_id = %s", [queue.pk])
    tick()
    with all_tenants():
        events = JobEvent.objects.filter(name="job.dispatched").order_by("id")
        first, *others = list(events.values_list("data", flat=True))
    assert first | {"predicted_us": 0} == {
        "start_tag": 0,
        "queue_vruntime": 0,
        "key_start_tag": 0,
        "runner_up_start_tag": 0,
        "in_flight": 0,
        "waiting": 1,
        "level": "tenant",
        "reason": "tie_longest_waiting",
        "predicted_us": 0,
        "number": 1,
    }
    assert [entry["reason"] for entry in others] == ["only_candidate"] * 2
    assert all(not {"key_start_tag", "runner_up_start_tag", "level"} & set(entry) for entry in others)


def test_dispatch_event_in_order_of_arrival_contains_no_tags(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick
) -> None:
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(strategy=CFSPlan.Strategy.NOP)
    queue = submit(acme)[0].queue
    submit(globex)
    with all_tenants():
        FairShareNode.objects.update(queue=queue)
        connection.cursor().execute("UPDATE scheduling_wake SET queue_id = %s", [queue.pk])
    tick()
    with all_tenants():
        first = JobEvent.objects.filter(name="job.dispatched").order_by("id").values_list("data", flat=True)[0]
    assert (first["level"], first["reason"]) == ("tenant", "arrival_order")
    assert not {name for name in first if "runner_up" in name}


def test_dispatch_event_names_the_next_queue(acme: Tenant, globex: Tenant, worker: Registration, tick: Tick) -> None:
    first, other = submit(acme)[0].queue, submit(globex)[0].queue
    assert first != other
    with all_tenants():
        QueueClock.objects.filter(queue__in=[first, other]).update(was_backlogged=True)
        QueueClock.objects.filter(queue=other).update(vruntime=7_000_000)
    tick()
    with all_tenants():
        data = JobEvent.objects.filter(name="job.dispatched").order_by("id").values_list("data", flat=True)[0]
    assert (data["level"], data["reason"]) == ("queue", "least_virtual_time")
    assert (data["queue_vruntime"], data["queue_runner_up_start_tag"]) == (0, 7_000_000)


def test_cancelled_and_suspended_jobs_leave_their_key(acme: Tenant, tick: Tick) -> None:
    kept, gone, held = submit(acme, 3, fair_key="ann")
    tick()
    with tenant_context(acme):
        cancel_jobs(job_ids=[gone.pk])
        suspend_job(job_id=held.pk)
    tick()
    assert (row_of("ann").waiting, row_of("").keys_waiting) == (1, 1)
    assert reload(kept).state == "available"


def test_pull_of_one_kind_reaches_jobs_of_keys(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, 3, fair_key="ann")
    other = submit(acme, 1, kind="sleep", payload={"seconds": 0}, fair_key="bob")[0]
    with all_tenants():
        before = QueueClock.objects.get(queue=other.queue).vruntime
    assert TenantIsolatedTaskQueue(acme, "sleep").pull_tasks(5) == 1
    assert [job.pk for job in in_flight()] == [other.pk]
    with all_tenants():
        live = LiveExecution.objects.get()
        clock = QueueClock.objects.get(queue=other.queue)
    # Queue, tenant and key are all charged.
    assert clock.vruntime - before == live.predicted_us * 1_000_000 // live.queue_weight_milli
    assert row_of("bob").vruntime == live.predicted_us * 1_000
    tick()
    assert keys_in_flight() == {"ann": 3, "bob": 1}


def test_keys_beyond_the_slots_are_read_only_as_needed(acme: Tenant, worker: Registration, tick: Tick) -> None:
    for number in range(30):
        submit(acme, 1, fair_key=f"user-{number:02}")
    with all_tenants():
        FairShareNode.objects.exclude(fair_key="").update(estimate_us=1)
    for _ in range(2):
        tick()
    assert sum(keys_in_flight().values()) == 4
    # With equal virtual times, the longest waiting are served first.
    assert set(keys_in_flight()) == {f"user-{number:02}" for number in range(4)}


def test_idle_key_is_removed_and_returns_with_its_next_job(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    job = submit(acme, 1, fair_key="ann")[0]
    assert delete_idle_key_nodes(10) == 0  # a job waits there that no tick has read yet
    tick()
    assert delete_idle_key_nodes(10) == 0  # it is in flight
    complete(start, job)
    assert delete_idle_key_nodes(10) == 0  # it is not folded yet
    tick()
    assert delete_idle_key_nodes(10) == 1
    submit(acme, 1, fair_key="ann")
    tick()
    assert keys_in_flight() == {"ann": 1}


def test_key_ahead_of_its_tenant_stays_while_the_tenant_is_busy(
    acme: Tenant, worker: Registration, tick: Tick, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(acme, 1, fair_key="ann")[0]
    tick()
    complete(start, job)
    submit(acme, 1, fair_key="bob")
    tick()
    with all_tenants():
        FairShareNode.objects.filter(fair_key="ann").update(vruntime=10**12)
    assert delete_idle_key_nodes(10) == 0
    monkeypatch.setattr(fair_share_nodes, "KEPT_IDLE_KEYS", 0)
    assert delete_idle_key_nodes(10) == 1


def test_key_of_a_suspended_job_is_removed_and_returns(acme: Tenant, worker: Registration, tick: Tick) -> None:
    job = submit(acme, 1, fair_key="ann")[0]
    with tenant_context(acme):
        suspend_job(job_id=job.pk)
    tick()
    assert delete_idle_key_nodes(10) == 1
    with tenant_context(acme):
        resume_job(job_id=job.pk)
    tick()
    assert keys_in_flight() == {"ann": 1}


def test_suspended_job_without_its_key_can_be_cancelled(acme: Tenant, tick: Tick) -> None:
    job = submit(acme, 1, fair_key="ann")[0]
    with tenant_context(acme):
        suspend_job(job_id=job.pk)
    tick()
    assert delete_idle_key_nodes(10) == 1
    with tenant_context(acme):
        assert cancel_jobs(job_ids=[job.pk])
    assert reload(job).state == "cancelled"


def test_share_panel_counts_a_tenant_once_with_all_keys(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, 3, fair_key="ann")
    submit(acme, 4, fair_key="bob")
    tick()
    with all_tenants():
        (standing,) = read_standings([acme.pk], read_clock(), queues=None).values()
    assert (standing.waiting, standing.in_flight) == (3, 4)


@pytest.mark.django_db(transaction=True)
def test_key_is_not_removed_during_an_open_submission(acme: Tenant, tick: Tick) -> None:
    job = submit(acme, 1, fair_key="ann")[0]
    with tenant_context(acme):
        cancel_jobs(job_ids=[job.pk])
    tick()

    def remove() -> int:
        try:
            return delete_idle_key_nodes(10)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as other, tenant_context(acme):
        later = submit_job(tenant=acme, request=JobRequest("noop", fair_key="ann")).job
        assert other.submit(remove).result(timeout=30) == 0
    tick()
    assert delete_idle_key_nodes(10) == 0
    with all_tenants():
        line = FairShareNode.objects.get(fair_key="ann")
    assert (line.waiting, waits_in(later.pk)) == (1, line.pk)


def waits_in(job_id: UUID) -> int:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT entity_id FROM scheduling_job_ready WHERE job_id = %s", [job_id])
        return int(cursor.fetchone()[0])
