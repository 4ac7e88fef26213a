"""Rescue with locked rows: a locked row delays no other's rescue or renewal, and sessions of lost workers are ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from scheduling.execution import lost_sessions
from scheduling.execution.leases import heartbeat
from scheduling.execution.lost_sessions import end_lost_sessions, session_name
from scheduling.execution.rescue import run_sweep
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import JobState
from scheduling.models import LiveExecution, Worker
from tenants.context import all_tenants
from tenants.database.conf import platform_role
from tenants.database.ids import uuid7
from tenants.models import Tenant
from tests.checks import faults_of
from tests.databases import connect_as_owner
from tests.integration.scheduling.job_helpers import Start, Tick, age, begin, reload, submit

pytestmark = pytest.mark.django_db(transaction=True)

LOCKS = {
    "job": "SELECT FROM scheduling_job WHERE tenant_id = %s FOR UPDATE",
    "execution": "SELECT FROM scheduling_execution_live WHERE tenant_id = %s FOR UPDATE",
    "tenant": "SELECT FROM tenants_tenant WHERE id = %s FOR UPDATE",
}


@pytest.fixture
def holder(django_db_setup: Any) -> Any:
    """Return a context in which another session locks rows of a tenant in an open transaction."""

    @contextmanager
    def hold(statement: str, tenant: Tenant) -> Iterator[None]:
        with connect_as_owner(django_db_setup.name) as other, other.transaction(force_rollback=True):
            other.execute("SELECT set_config('role', %s, true)", [platform_role()])
            assert other.execute(statement, [tenant.pk]).rowcount == 1
            yield

    return hold


@pytest.mark.parametrize("rows", LOCKS)
def test_sweep_rescues_others_while_a_row_is_locked(
    rows: str, acme: Tenant, globex: Tenant, worker: Registration, tick: Tick, start: Start, holder: Any
) -> None:
    (locked,), (other,) = submit(acme), submit(globex)
    tick()
    for job in (locked, other):
        begin(start, job)
    age(LiveExecution, lease_expires_at=1)
    with holder(LOCKS[rows], acme):
        assert run_sweep().rescued == 1
        assert reload(other).state == JobState.AVAILABLE
        assert reload(locked).state == JobState.EXECUTING
    assert run_sweep().rescued == 1
    assert reload(locked).state == JobState.AVAILABLE
    assert faults_of("ledger") == []


def test_sweep_discards_other_late_jobs_while_one_is_locked(acme: Tenant, globex: Tenant, holder: Any) -> None:
    (locked,), (other,) = (submit(tenant, deadline=timezone.now() + timedelta(hours=1)) for tenant in (acme, globex))
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_job_deadline SET deadline_at = now() - interval '1 s'")
    with holder(LOCKS["job"], acme):
        assert run_sweep().expired == 1
        assert reload(other).state == JobState.DISCARDED
    assert run_sweep().expired == 1
    assert reload(locked).state == JobState.DISCARDED


def test_heartbeat_renews_other_leases_while_an_execution_is_settled(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick, start: Start, holder: Any
) -> None:
    begun = {}
    for tenant in (acme, globex):
        (job,) = submit(tenant)
        tick()
        started = begin(start, job)
        begun[tenant.pk] = started
    age(LiveExecution, lease_expires_at=-1)
    execution_ids = [started.execution_id for started in begun.values()]
    with all_tenants():
        before = dict(LiveExecution.objects.values_list("pk", "lease_expires_at"))
    with holder(LOCKS["execution"], acme):
        beat = heartbeat(worker_id=worker.worker_id, is_stopping=False, execution_ids=execution_ids)
        # It is not lost either: its lease keeps its end.
        assert set(beat.leases) == set(execution_ids)
    with all_tenants():
        after = dict(LiveExecution.objects.values_list("pk", "lease_expires_at"))
    assert after[begun[acme.pk].execution_id] == before[begun[acme.pk].execution_id]
    assert after[begun[globex.pk].execution_id] > before[begun[globex.pk].execution_id]


@contextmanager
def session_of(worker_id: UUID) -> Iterator[psycopg.Connection[Any]]:
    """Open a session as a worker's children do."""
    parameters = connection.get_connection_params()
    values = {key: parameters[key] for key in ("host", "port", "dbname", "user", "password") if key in parameters}
    session = psycopg.connect(**values, application_name=session_name(worker_id))
    try:
        yield session
    finally:
        session.close()


def is_alive(session: psycopg.Connection[Any]) -> bool:
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def make_silent(worker: Registration) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scheduling_worker SET heartbeat_at = now() - interval '60 s' WHERE id = %s", [worker.worker_id]
        )


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat transactions of lost workers as old at once."""
    monkeypatch.setattr(lost_sessions, "GRACE_SECONDS", 0.0)


def test_heartbeat_of_a_returning_worker_is_not_ended(
    acme: Tenant, worker: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session_of(worker.worker_id) as session:
        make_silent(worker)
        session.execute("SELECT 1")
        monkeypatch.setattr(lost_sessions, "GRACE_SECONDS", 600.0)
        assert end_lost_sessions() == 0
        assert is_alive(session)


def test_sessions_of_a_lost_worker_in_a_transaction_are_ended(
    acme: Tenant, worker: Registration, no_grace: None
) -> None:
    with session_of(worker.worker_id) as busy, session_of(worker.worker_id) as idle, session_of(uuid7()) as other:
        for session in (busy, other):
            session.execute("SELECT 1")
        assert end_lost_sessions() == 0
        make_silent(worker)
        assert end_lost_sessions() == 1
        assert not is_alive(busy)
        assert is_alive(idle)
        assert is_alive(other)


def test_job_locked_by_a_lost_worker_is_rescued(
    acme: Tenant, worker: Registration, tick: Tick, start: Start, no_grace: None
) -> None:
    (job,) = submit(acme)
    tick()
    begin(start, job)
    age(LiveExecution, lease_expires_at=1)
    with session_of(worker.worker_id) as cut_off:
        cut_off.execute("SELECT set_config('role', %s, true)", [platform_role()])
        assert cut_off.execute(LOCKS["job"], [acme.pk]).rowcount == 1
        assert run_sweep().rescued == 0
        make_silent(worker)
        # The server needs a moment to end the session.
        for _ in range(100):
            if run_sweep().rescued:
                break
    assert reload(job).state == JobState.AVAILABLE
    with all_tenants():
        assert Worker.objects.get(pk=worker.worker_id).status == Worker.Status.STOPPED
