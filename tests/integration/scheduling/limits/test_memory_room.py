"""The limit of memory that a tenant's jobs in flight may need together."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from scheduling.dispatch.claim import reserve_capacity
from scheduling.dispatch.memory_room import read_memory_room
from scheduling.dispatch.pick import pick_and_lock, read_rows
from scheduling.dispatch.read import read_pool, rows_wanted
from scheduling.fleet.workers import Registration
from scheduling.kit import registry
from scheduling.limits.declared import MEMORY_NOW
from scheduling.models import Job, LiveExecution, Queue, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.limits.service import set_tenant_limit
from tenants.limits.usage_queries import read_usage
from tenants.models import PlanLimit, Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, in_flight, reasons_of, reload, submit

pytestmark = pytest.mark.django_db


def limit(tenant: Tenant, mib: int) -> None:
    set_tenant_limit(tenant=tenant, key=MEMORY_NOW.key, value=mib, reason="test")


@pytest.fixture(autouse=True)
def _single_jobs() -> None:
    """Let jobs seem long, so that none shares a message."""
    with all_tenants():
        Queue.objects.update(expected_seconds=600)


def messages(tenant: Tenant) -> int:
    with all_tenants():
        return LiveExecution.objects.filter(tenant=tenant).values("message_id").distinct().count()


def running(jobs: Iterable[Job]) -> list[Job]:
    ids = {job.pk for job in in_flight()}
    return [job for job in jobs if job.pk in ids]


def codes(tenant: Tenant, job: Job) -> list[str]:
    with tenant_context(tenant):
        return [reason.code for reason in reasons_of(reload(job))]


@pytest.mark.parametrize("source", ["override", "plan"])
def test_messages_beyond_the_limit_wait_for_an_end(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start, source: str
) -> None:
    jobs, others = submit(acme, 3, kind="sleep", payload={"seconds": 1}), submit(globex, 1)
    if source == "plan":
        with all_tenants():
            PlanLimit.objects.create(plan_id=acme.plan_id, key=MEMORY_NOW.key, value=300)
        limit(globex, 10_000)
    else:
        limit(acme, 300)
    tick()
    assert messages(acme) == 1
    assert running(others) == others
    result = tick()
    assert (result.dispatched, result.has_more) == (0, False)
    waiting = [job for job in jobs if reload(job).state == "available"]
    assert len(waiting) == 2
    assert "memory_in_use" in codes(acme, waiting[0])
    for job in running(jobs):
        complete(start, job)
    # The remaining two are short, so they may share a message.
    assert tick().dispatched >= 1
    assert messages(acme) == 1


def test_kind_beyond_the_limit_waits_and_hides_no_other(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "memory_needs", lambda: {"sleep": 1_024})
    limit(acme, 600)
    (large,) = submit(acme, 1, kind="sleep", payload={"seconds": 1})
    small, others = submit(acme, 1), submit(globex, 2)
    tick()
    assert len(running(others)) == 2
    result = tick()
    assert not result.has_more
    assert reload(large).state == "available"
    assert "memory_in_use" in codes(acme, large)
    limit(acme, 2_048)
    tick()
    assert running([large, *small]) == [large, *small]


def test_tenant_whose_memory_was_taken_since_it_was_read_is_not_reserved(
    acme: Tenant, tick: Tick, worker: Registration, pool: WorkerPool
) -> None:
    limit(acme, 256)
    submit(acme, 2, kind="sleep", payload={"seconds": 1})
    tick()
    assert messages(acme) == 1
    with all_tenants():
        assert read_memory_room([acme.pk]) == {acme.pk: 0}
        reading = read_pool(pool.pk)
        picked = pick_and_lock(reading.share, read_rows(rows_wanted(reading)))
        assert reading.has_memory_limits
        assert picked.picks
        assert list(reserve_capacity(pool.pk, reading, picked.picks)) == []


def test_usage_has_the_memory_of_running_jobs(acme: Tenant, tick: Tick, worker: Registration) -> None:
    submit(acme, 2, kind="sleep", payload={"seconds": 1})
    tick()
    with tenant_context(acme):
        (line,) = [line for line in read_usage(acme.pk).lines if line.limit.key == MEMORY_NOW.key]
    assert line.used == 256 * messages(acme)


def test_without_limits_no_tenant_is_read(worker: Registration, pool: WorkerPool) -> None:
    with all_tenants():
        assert not read_pool(pool.pk).has_memory_limits
        assert read_memory_room([]) == {}
