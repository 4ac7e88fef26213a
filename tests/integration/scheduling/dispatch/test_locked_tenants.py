"""Locked tenants: locked rows of one tenant delay no other, and are processed once they are free."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection

from scheduling.diagnosis.service import Health, diagnose
from scheduling.dispatch import locked
from scheduling.dispatch.locked_tenants import read_locked_tenants
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import JobState
from scheduling.models import FairShareNode, Job, JobDue, JobHeld, PoolClock, QueueClock, Settled, WorkerPool
from scheduling.stops.pauses import pause_kind
from tenants.context import all_tenants, tenant_context
from tenants.database.conf import platform_role
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from tests.checks import faults_of
from tests.databases import connect_as_owner
from tests.integration.scheduling.execution.test_locked_rows import give_slots
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, in_flight, reasons_of, reload, submit

LOCKS = {
    "tenant": "SELECT FROM tenants_tenant WHERE id = %(tenant)s FOR UPDATE",
    "entity": "SELECT FROM scheduling_schedulingentity WHERE tenant_id = %(tenant)s FOR UPDATE",
    "capacity": "SELECT FROM scheduling_tenant_capacity WHERE tenant_id = %(tenant)s FOR UPDATE",
    "usage": "SELECT FROM tenants_tenantusage WHERE tenant_id = %(tenant)s FOR UPDATE",
    "cost": "SELECT FROM scheduling_tenant_kind_cost WHERE tenant_id = %(tenant)s FOR UPDATE",
    "jobs": "SELECT FROM scheduling_job WHERE tenant_id = %(tenant)s AND state = 'available' FOR UPDATE",
    "everything": "SELECT FROM tenants_tenant t JOIN scheduling_schedulingentity e ON e.tenant_id = t.id"
    " JOIN scheduling_tenant_capacity c ON c.tenant_id = t.id WHERE t.id = %(tenant)s FOR UPDATE",
}


@pytest.fixture
def holder(django_db_setup: Any) -> Any:
    """Return a context in which another session locks rows of a tenant in an open transaction."""

    @contextmanager
    def hold(statement: str, tenant: Tenant) -> Iterator[Any]:
        with connect_as_owner(django_db_setup.name) as other, other.transaction(force_rollback=True):
            other.execute("SELECT set_config('role', %s, true)", [platform_role()])
            assert other.execute(statement, {"tenant": tenant.pk}).rowcount > 0
            yield other

    return hold


def noted() -> dict[str, dict[str, Any]]:
    with all_tenants():
        clock: PoolClock = PoolClock.objects.get(pool__name="default")
        return dict(clock.locked_tenants)


def of_tenants() -> set[Any]:
    return {job.tenant_id for job in in_flight()}


def work_off(tick: Tick, start: Start) -> None:
    """Dispatch and complete until no job is left."""
    while tick().dispatched or in_flight():
        for job in in_flight():
            complete(start, job)
    tick()
    with all_tenants():
        assert not Job.objects.exclude(state=JobState.COMPLETED).exists()
        assert not Settled.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rows", LOCKS)
def test_ticks_serve_others_while_rows_of_one_tenant_are_locked(
    rows: str,
    acme: Tenant,
    globex: Tenant,
    pool: WorkerPool,
    worker: Registration,
    tick: Tick,
    start: Start,
    holder: Any,
) -> None:
    for tenant in (acme, globex):
        submit(tenant)
    tick()
    for job in in_flight():
        complete(start, job)
    tick()  # so that each has rows of usage and costs
    running = submit(acme) + submit(globex)
    tick()
    for job in running:
        complete(start, job)
    behind, others = submit(acme, 3), []
    give_slots(pool, 1)
    with holder(LOCKS[rows], acme) as other:
        for _ in range(4):
            others += submit(globex)
            while tick().has_more:
                pass
            # A skipped tenant holds no slot that others could use.
            assert globex.pk in of_tenants()
            for job in in_flight():
                complete(start, job)
        if rows not in {"tenant", "usage", "cost"}:
            # A tick always needs the lock of these; it can skip the others.
            assert not any(reload(job).state == JobState.COMPLETED for job in behind)
            assert noted()[str(acme.pk)]["is_whole"] is (rows != "jobs")
        if rows in {"entity", "capacity", "everything"}:
            assert noted()[str(acme.pk)]["pid"] == other.info.backend_pid
        assert {reload(job).state for job in others} == {JobState.COMPLETED}
    work_off(tick, start)
    assert faults_of("counters", "ready") == []
    assert faults_of("ledger") == []
    assert faults_of("usage") == []


@pytest.mark.django_db(transaction=True)
def test_first_rows_of_a_locked_tenant_wait_for_it(
    acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, start: Start, holder: Any
) -> None:
    """Fold the other tenants: the first row of usage and of costs is checked against the locked tenant."""
    for tenant in (acme, globex):
        submit(tenant)
    tick()
    for job in in_flight():
        complete(start, job)
    with holder(LOCKS["tenant"], acme):
        tick()
        with all_tenants():
            assert [row.tenant_id for row in Settled.objects.all()] == [acme.pk]
        assert set(noted()) == {str(acme.pk)}
    tick()
    with all_tenants():
        assert not Settled.objects.exists()
    assert faults_of("counters", "ready") == []
    assert faults_of("usage") == []


@pytest.mark.django_db(transaction=True)
def test_locked_due_job_does_not_block_staging_of_others(
    acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, start: Start, holder: Any
) -> None:
    held, other = submit(acme)[0], submit(globex)[0]
    tick()
    for job in (held, other):
        started = begin(start, job)
        settle([settlement_builders.put_off(started.execution_id, started.fence, {}, seconds=0.0)])
    with all_tenants():
        assert JobDue.objects.count() == 2
    with holder(LOCKS["jobs"].replace("available", "scheduled"), acme):
        tick()
        assert of_tenants() == {globex.pk}
    tick()
    assert of_tenants() == {acme.pk, globex.pk}


@pytest.mark.django_db(transaction=True)
def test_waiting_job_of_a_locked_tenant_states_the_reason(
    acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, holder: Any
) -> None:
    (job,), (other,) = submit(acme), submit(globex)
    with holder(LOCKS["entity"], acme):
        tick()
        with tenant_context(acme):
            reasons = {reason.code: reason.detail for reason in reasons_of(job)}
        assert "locked by another transaction since" in reasons["rows_locked"]
        (check,) = [check for check in diagnose().checks if check.name == "locked tenants"]
        assert (check.state, "acme" in check.measured) == (Health.WARNING, True)
        submit(globex, 5)
        tick()
        with tenant_context(globex):
            assert "rows_locked" not in {reason.code for reason in reasons_of(submit(globex)[0])}
    tick()
    assert reload(job).state == reload(other).state == JobState.DISPATCHED
    with all_tenants():
        assert read_locked_tenants() == []


@pytest.mark.django_db(transaction=True)
def test_unlocked_tenant_returns_without_credit(
    acme: Tenant,
    pool: WorkerPool,
    worker: Registration,
    tick: Tick,
    start: Start,
    holder: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keep the others' shares: time with locked rows is no waiting."""
    monkeypatch.setattr(locked, "PAUSE_SECONDS", 0.0)
    sibling = create_tenant(slug="sibling", plan=acme.plan)
    submit(acme, 2)
    with holder(LOCKS["entity"], acme):
        for _ in range(3):
            submit(sibling)
            tick()
            for job in in_flight():
                complete(start, job)
        submit(sibling, 2)
        give_slots(pool, 0)
        tick()
        with all_tenants():
            assert FairShareNode.objects.get(tenant=sibling).vruntime > 0
            assert FairShareNode.objects.get(tenant=acme).vruntime == 0
    tick()
    with all_tenants():
        mine = FairShareNode.objects.get(tenant=acme).vruntime
        clock = QueueClock.objects.get(queue__fairsharenode__tenant=acme)
    assert mine == clock.virtual_time > 0


@pytest.mark.django_db(transaction=True)
def test_briefly_locked_tenant_is_not_skipped(
    acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, start: Start, holder: Any
) -> None:
    """Read the tenant although its virtual time is below those served in between."""
    sibling = create_tenant(slug="sibling", plan=acme.plan)
    (mine,) = submit(acme)
    submit(sibling, 2)
    tick()
    for job in in_flight():
        complete(start, job)
    submit(sibling, 2)
    give_slots(pool, 0)
    tick()
    give_slots(pool, 1)
    (mine,) = submit(acme)
    with holder(LOCKS["entity"], acme):
        for _ in range(3):
            submit(sibling, 2)
            tick()
            for job in in_flight():
                complete(start, job)
    for _ in range(5):
        submit(sibling, 2)
        tick()
        for job in in_flight():
            complete(start, job)
    assert reload(mine).state == JobState.COMPLETED


@pytest.mark.django_db(transaction=True)
def test_pool_stays_careful_until_no_rows_were_locked_for_a_while(
    acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, holder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(acme)
    with holder(LOCKS["entity"], acme):
        tick()
    assert noted()
    tick()
    assert noted()[str(acme.pk)]["is_whole"] is False
    assert of_tenants() == {acme.pk}
    monkeypatch.setattr(locked, "CAREFUL_SECONDS", 0.0)
    tick()
    assert noted() == {}


@pytest.mark.django_db(transaction=True)
def test_tick_times_out_at_a_lock_outside_tenants(
    acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, django_db_setup: Any
) -> None:
    submit(acme)
    with connect_as_owner(django_db_setup.name) as other, other.transaction(force_rollback=True):
        other.execute("SELECT set_config('role', %s, true)", [platform_role()])
        assert other.execute("SELECT FROM scheduling_queue_clock FOR UPDATE").rowcount > 0
        with pytest.raises(OperationalError, match="lock timeout"):
            tick()
    assert not connection.in_atomic_block
    assert tick().dispatched == 1


@pytest.mark.django_db(transaction=True)
def test_locked_job_at_a_gate_does_not_block_others(
    acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, holder: Any
) -> None:
    (held,), (other,) = submit(acme), submit(globex)
    pause_kind(kind="noop", reason="broken")
    with holder(LOCKS["jobs"], acme):
        tick()
        with all_tenants():
            assert [row.job_id for row in JobHeld.objects.all()] == [other.pk]
    tick()
    with all_tenants():
        assert {row.job_id for row in JobHeld.objects.all()} == {held.pk, other.pk}
