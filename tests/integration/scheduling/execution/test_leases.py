"""Heartbeats, leases, and the partitions that upkeep creates."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling.execution.leases import heartbeat
from scheduling.fleet.workers import (
    Registration,
    WorkerPoolNotFoundError,
    register_worker,
    restore_worker_row,
    retire_worker,
)
from scheduling.jobs.cancellation import cancel_job
from scheduling.models import LiveExecution, Worker
from scheduling.upkeep.partitions import HISTORY_TABLES, maintain_partitions
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, age, begin, submit


def lease_left(execution_id: object) -> timedelta:
    with all_tenants():
        expires_at = LiveExecution.objects.get(pk=execution_id).lease_expires_at
    assert expires_at is not None
    return expires_at - timezone.now()


def test_heartbeat_renews_the_leases_that_it_names(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    first, second = submit(acme, 2)
    tick()
    named, unnamed = begin(start, first), begin(start, second)
    age(LiveExecution, lease_expires_at=60)
    answer = heartbeat(worker_id=worker.worker_id, is_stopping=False, execution_ids=[named.execution_id])
    assert answer.is_worker_known
    assert set(answer.leases) == {named.execution_id}
    assert lease_left(named.execution_id) > timedelta(seconds=5)
    assert lease_left(unnamed.execution_id) < timedelta()


def test_heartbeat_of_another_worker_renews_nothing(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    other = register_worker(pool_name="default", hostname="other", pid=2, slots=1)
    answer = heartbeat(worker_id=other.worker_id, is_stopping=False, execution_ids=[started.execution_id])
    assert not answer.leases


def test_heartbeat_returns_cancel_requests_and_passed_deadlines(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    late, unwanted = submit(acme, deadline=timezone.now() + timedelta(hours=1)) + submit(acme)
    tick()
    executions = {job: begin(start, job) for job in (late, unwanted)}
    with tenant_context(acme):
        cancel_job(job_id=unwanted.pk)
    answer = heartbeat(
        worker_id=worker.worker_id,
        is_stopping=False,
        execution_ids=[started.execution_id for started in executions.values()],
    )
    assert answer.leases[executions[unwanted].execution_id].is_cancel_requested
    assert not answer.leases[executions[late].execution_id].is_cancel_requested
    assert not answer.leases[executions[late].execution_id].is_deadline_passed


def test_worker_missing_in_the_database_is_registered_again(worker: Registration) -> None:
    with all_tenants():
        Worker.objects.all().delete()
    assert not heartbeat(worker_id=worker.worker_id, is_stopping=False, execution_ids=[]).is_worker_known
    restore_worker_row(registration=worker)
    assert heartbeat(worker_id=worker.worker_id, is_stopping=False, execution_ids=[]).is_worker_known


def test_stopping_worker_gets_no_more_jobs(acme: Tenant, worker: Registration, tick: Tick) -> None:
    heartbeat(worker_id=worker.worker_id, is_stopping=True, execution_ids=[])
    submit(acme)
    assert tick().dispatched == 0
    heartbeat(worker_id=worker.worker_id, is_stopping=False, execution_ids=[])
    assert tick().dispatched == 1


def test_retired_worker_has_no_slots(acme: Tenant, worker: Registration, tick: Tick) -> None:
    retire_worker(worker_id=worker.worker_id)
    submit(acme)
    assert tick().dispatched == 0
    assert Worker.objects.get(pk=worker.worker_id).stopped_at is not None


def test_registration_in_an_unknown_pool_names_the_pools(db: None) -> None:
    with pytest.raises(WorkerPoolNotFoundError, match="default, io, maintenance"):
        register_worker(pool_name="defualt", hostname="test", pid=1, slots=1)


def test_partitions_of_the_coming_days_are_created_once(db: None) -> None:
    made = maintain_partitions(days_ahead=2)
    assert len(made) == 2 * len(HISTORY_TABLES)
    assert maintain_partitions(days_ahead=2) == []
    assert len(maintain_partitions(days_ahead=3)) == len(HISTORY_TABLES)
