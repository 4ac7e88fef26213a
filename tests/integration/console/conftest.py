"""Work of two tenants, and logged-in clients."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from scheduling.breakers.rules import CircuitState
from scheduling.dispatch import leadership
from scheduling.jobs.batches.service import create_batch
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Charge, Circuit, DeadLetter, Execution, Job, JobEvent, Queue, Tally, Worker, WorkerPool
from scheduling.statistics.rollups import fold_tallies
from scheduling.statistics.series import fold_series
from tenants.context import all_tenants, tenant_context
from tenants.encryption.fields import sealed_field
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Work:
    """What one tenant has: a waiting job in a batch, and one that failed for good."""

    tenant: Tenant
    waiting: Job
    failed: Job
    letter: DeadLetter
    execution: Execution


@pytest.fixture
def console(client: Client) -> Callable[[User], Client]:
    """Return a function that logs a user in."""

    def enter(user: User) -> Client:
        client.force_login(user)
        return client

    return enter


@pytest.fixture
def acme_work(acme: Tenant) -> Work:
    return make_work(acme)


@pytest.fixture
def globex_work(globex: Tenant) -> Work:
    return make_work(globex)


@pytest.fixture
def live_worker(db: None) -> Worker:
    with all_tenants():
        now = timezone.now()
        pool = WorkerPool.objects.get(name="default")
        queues = list(pool.queues.values_list("name", flat=True))
        facts = {"pool": pool, "hostname": "bench", "version": "1.0", "started_at": now, "heartbeat_at": now}
        return Worker.objects.create(**facts, pid=4711, slots=4, queues=queues)


@pytest.fixture
def no_lock_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the timeout of locks: a test holds them for its whole transaction."""
    monkeypatch.setattr(leadership, "TICK_IDLE_TIMEOUT_MS", 600_000)


def make_work(tenant: Tenant) -> Work:
    """Store rows as the services do; the failed job's history is written by hand, because no worker runs here."""
    with tenant_context(tenant):
        batch = create_batch(tenant=tenant, label=f"{tenant.slug} upload", kind="noop", total=2)
        request = JobRequest(kind="noop", payload={"secret": f"{tenant.slug}-payload"}, tags=("night",))
        waiting = submit_job(tenant=tenant, request=request, batch=batch).job
        failed = submit_job(tenant=tenant, request=JobRequest(kind="noop", payload={}), batch=batch).job
        now = timezone.now()
        fingerprint = tenant.slug.ljust(16, "0")
        Job.objects.filter(pk=failed.pk).update(
            state=JobState.DISCARDED,
            started_at=now - timedelta(seconds=4),
            finished_at=now,
            error_type="ParseError",
            error_message=sealed_field(Job, "error_message").ready(
                f"{tenant.slug} broke", tenant_id=tenant.pk, row_id=failed.pk
            ),
            error_fingerprint=fingerprint,
            attempt=1,
            execution_count=1,
        )
        failed.refresh_from_db()
        execution = Execution.objects.create(
            tenant=tenant,
            job_id=failed.pk,
            queue_id=failed.queue_id,
            kind="noop",
            number=1,
            fence=1,
            outcome=Execution.Outcome.FAILED,
            predicted_us=1_000_000,
            measured_us=2_000_000,
            dispatched_at=now - timedelta(seconds=3),
            started_at=now - timedelta(seconds=2),
            ended_at=now - timedelta(milliseconds=1),
            error_type="ParseError",
            error_message=f"{tenant.slug} broke",
            traceback="Traceback (most recent call last): …",
        )
        Tally.objects.bulk_create(
            [
                Tally(
                    tenant=tenant,
                    queue_id=failed.queue_id,
                    kind="noop",
                    outcome=execution.outcome,
                    is_dead=True,
                    wait_us=1_000_000,
                    started_at=execution.started_at,
                    measured_us=execution.measured_us,
                    ended_at=execution.ended_at,
                )
            ]
        )
        JobEvent.objects.create(
            tenant=tenant, job_id=failed.pk, at=now, name="execution.failed", state="discarded", actor="worker"
        )
        Charge.objects.create(
            tenant=tenant,
            job_id=failed.pk,
            execution_id=execution.pk,
            queue_id=failed.queue_id,
            reason="corrected",
            microseconds=2_000_000,
            at=now,
        )
        Circuit.objects.get_or_create(
            tenant=tenant,
            kind="noop",
            dependency="",
            defaults={
                "holds_all": True,
                "state": CircuitState.COUNTING,
                "failures": 1,
                "fingerprint": fingerprint,
                "error_type": "ParseError",
                "error_message": f"{tenant.slug} broke",
                "counted_from": now,
            },
        )
        letter = DeadLetter.objects.create(
            tenant=tenant,
            job_id=failed.pk,
            kind="noop",
            reason=DeadLetter.Reason.PERMANENT_ERROR,
            error_type="ParseError",
            error_message=f"{tenant.slug} broke",
            error_fingerprint=fingerprint,
            created_at=now,
        )
    fold_tallies()
    fold_series()
    with connection.cursor() as cursor:
        # A fold times out when it idles; the test continues in the same transaction.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    return Work(tenant, waiting, failed, letter, execution)


def queue_named(name: str) -> Queue:
    return Queue.objects.get(name=name)


def random_id() -> uuid.UUID:
    return uuid.uuid4()
