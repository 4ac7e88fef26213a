"""Lost sessions: one ended by the server uses no attempt, an error of the job itself does."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from scheduling.kit.base import JobContext
from scheduling.models import Batch, Job
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import Run, outcomes, raising
from tests.integration.sessions import terminate, terminate_own, time_out

pytestmark = pytest.mark.django_db(transaction=True)

type Follow = Callable[..., None]


def write() -> None:
    Batch.objects.create(label="effect", kind="scripted", total=1)


def end_at_statement(context: JobContext) -> None:
    terminate_own()
    context.checkpoint({"page": 1}, write)


def end_inside_transaction(context: JobContext) -> None:
    with tenant_context(context.tenant_id), transaction.atomic():
        write()
        terminate_own()
        Batch.objects.count()


def end_at_commit(context: JobContext) -> None:
    with tenant_context(context.tenant_id), transaction.atomic():
        write()
        terminate_own()


def end_at_commit_outside_of_a_scope(context: JobContext) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        terminate_own()


def end_at_commit_of_checkpoint(context: JobContext) -> None:
    def effects() -> None:
        write()
        terminate_own()

    context.checkpoint({"page": 1}, effects)


def time_out_inside_transaction(context: JobContext) -> None:
    with tenant_context(context.tenant_id), transaction.atomic():
        write()
        time_out("idle_in_transaction_session_timeout")


def meet_full_disk(context: JobContext) -> None:
    with tenant_context(context.tenant_id), transaction.atomic(), connection.cursor() as cursor:
        write()
        cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$")


FAULTS = [
    end_at_statement,
    end_inside_transaction,
    end_at_commit,
    end_at_commit_outside_of_a_scope,
    end_at_commit_of_checkpoint,
    time_out_inside_transaction,
    meet_full_disk,
]


def first_time(fault: Callable[[JobContext], None]) -> Callable[[JobContext], None]:
    """Return a processor that meets the fault once."""
    faults = [fault]
    return lambda context: faults.pop()(context) if faults else None


def count_effects(tenant: Tenant) -> int:
    with tenant_context(tenant):
        return Batch.objects.count()


@pytest.mark.parametrize("fault", FAULTS)
def test_lost_session_uses_no_attempt_and_job_completes_later(
    fault: Callable[[JobContext], None], acme: Tenant, run: Run, set_processor: Follow
) -> None:
    set_processor(first_time(fault))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("available", 0, ["shutdown"])
    assert count_effects(acme) == 0
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("completed", 0, ["shutdown", "completed"])
    assert faults_of("ledger") == []


def test_job_that_always_loses_its_session_uses_attempts_in_the_end(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduling.execution.policy.MOST_UNCOUNTED", 2)
    set_processor(end_inside_transaction)
    (job,) = submit(acme, kind="scripted")
    for _ in range(2):
        assert run(job).state == "available"
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("retryable", 1, ["shutdown", "shutdown", "failed"])


def test_session_lost_in_the_error_handler_uses_no_attempt(acme: Tenant, run: Run, set_processor: Follow) -> None:
    set_processor(raising(ValueError("first")), lambda context, error: end_inside_transaction(context))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("available", 0, ["shutdown"])


def test_session_lost_in_settlement_is_settled_on_another(acme: Tenant, run: Run, set_processor: Follow) -> None:
    faults = [terminate_own]

    def effects() -> None:
        write()
        if faults:
            faults.pop()()

    set_processor(lambda context: context.in_settlement(effects))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("completed", 0, ["completed"])
    assert count_effects(acme) == 1


def meet_lock_at_checkpoint(context: JobContext) -> None:
    """Save a checkpoint while another session locks the job's row for longer than the lock timeout."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as holder:
            holder.execute("SELECT set_config('app.tenant_id', %s, true)", [str(context.tenant_id)])
            holder.execute("SELECT 1 FROM scheduling_job WHERE id = %s FOR UPDATE", [context.job_id])
            assert holder.fetchone() == (1,)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        context.checkpoint({"page": 1}, write)
    finally:
        other.rollback()
        other.close()
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")


def test_locked_row_at_a_checkpoint_uses_no_attempt(acme: Tenant, run: Run, set_processor: Follow) -> None:
    set_processor(first_time(meet_lock_at_checkpoint))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("available", 0, ["shutdown"])
    assert count_effects(acme) == 0
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("completed", 0, ["shutdown", "completed"])


def fail_by_lock_timeout(context: JobContext) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'lock' USING ERRCODE = '55P03'; END $$")


def fail_by_statement_timeout(context: JobContext) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '10ms'")
        cursor.execute("SELECT pg_sleep(60)")


def fail_by_own_connection(context: JobContext) -> None:
    """Lose a session that is not the platform's."""
    parameters = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    with psycopg.connect(**{name: parameters[name] for name in names if name in parameters}) as own:
        terminate(own.info.backend_pid)
        own.execute("SELECT 1")


def fail_by_other_alias(context: JobContext) -> None:
    """Lose a session of an alias that a plug-in has added to DATABASES."""
    other = connection.copy("other")
    try:
        with tenant_context(context.tenant_id), other.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            terminate(cursor.fetchone()[0])
            cursor.execute("SELECT 1")
    finally:
        other.close()


def fail_by_other_driver(context: JobContext) -> None:
    raise OperationalError("of a database that is not the platform's")


@pytest.mark.parametrize(
    "fault",
    [
        fail_by_lock_timeout,
        fail_by_statement_timeout,
        fail_by_own_connection,
        fail_by_other_alias,
        fail_by_other_driver,
    ],
)
def test_error_of_the_job_itself_uses_an_attempt(
    fault: Callable[[JobContext], None], acme: Tenant, run: Run, set_processor: Follow
) -> None:
    set_processor(fault)
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("retryable", 1, ["failed"])


def test_settlement_effects_that_time_out_use_an_attempt(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduling.execution.processing.SETTLE_PATIENCE_SECONDS", 0.1)
    set_processor(lambda context: context.in_settlement(lambda: time_out("idle_in_transaction_session_timeout")))
    (job,) = submit(acme, kind="scripted")
    job: Job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("retryable", 1, ["failed"])
