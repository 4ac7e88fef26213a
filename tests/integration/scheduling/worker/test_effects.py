"""Effects: what an execution stores in the database and what it must not, with real commits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from django.db import connection, transaction

from scheduling.kit.base import JobContext
from scheduling.models import Batch, Job
from scheduling.worker.control_block import Cause
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.scheduling.worker.conftest import Run, outcomes, raising

pytestmark = pytest.mark.django_db(transaction=True)


def test_settlement_effects_are_committed_with_it(acme: Tenant, run: Run, set_processor: Callable[..., None]) -> None:
    set_processor(
        lambda context: context.in_settlement(lambda: Batch.objects.create(label="done", kind="scripted", total=1))
    )
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    with tenant_context(acme):
        assert Batch.objects.get().label == "done"


def test_failing_settlement_effects_are_rolled_back_and_fail_the_attempt(
    acme: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        context.in_settlement(lambda: Batch.objects.create(label="half", kind="scripted", total=1))
        context.in_settlement(raising(LookupError("no such row")))  # type: ignore[arg-type]

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.error_type, job.attempt) == ("retryable", "LookupError", 1)
    with tenant_context(acme):
        assert not Batch.objects.exists()
    assert faults_of("ledger") == []


def test_settlement_effects_see_only_their_own_tenant(
    acme: Tenant, globex: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    with tenant_context(globex):
        Batch.objects.create(label="foreign", kind="noop", total=1)
    seen: list[int] = []
    set_processor(lambda context: context.checkpoint({"page": 1}, lambda: seen.append(Batch.objects.count())))
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert seen == [0]


def test_job_with_a_lost_fence_stops_at_its_next_checkpoint(
    acme: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        with all_tenants():
            Job.objects.filter(pk=context.job_id).update(fence=context.fencing_token + 1)
        context.checkpoint({"page": 1}, lambda: Batch.objects.create(label="zombie", kind="scripted", total=1))
        raise AssertionError("never reached")

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.checkpoint) == ("executing", {})
    assert outcomes(job) == []
    with tenant_context(acme):
        assert not Batch.objects.exists()


def test_next_attempt_starts_from_the_last_checkpoint(
    acme: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    states: list[object] = []

    def process(context: JobContext) -> None:
        states.append(dict(context.state))
        context.checkpoint({"page": len(states)})
        if len(states) == 1:
            local_stop(context)

    def local_stop(context: JobContext) -> None:
        raise ConnectionResetError

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "retryable"
    make_due(job)
    assert run(job).state == "completed"
    assert states == [{}, {"page": 1}]


def make_due(job: Job) -> None:
    """Let the backoff of a job be over."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_job_due SET due_at = now() WHERE job_id = %s", [job.pk])


def test_tenant_scope_does_not_leak_into_the_next_job(
    acme: Tenant, globex: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    with tenant_context(acme):
        Batch.objects.create(label="acme's", kind="noop", total=1)
    seen: list[tuple[object, ...]] = []

    def process(context: JobContext) -> None:
        with connection.cursor() as cursor:
            if context.tenant_id == acme.pk:
                # A plug-in that never exits a context it has entered.
                transaction.atomic().__enter__()
                cursor.execute("SELECT set_config('app.tenant_id', %s, true)", [str(acme.pk)])
                raise ValueError("in the middle of a transaction")
            cursor.execute("SELECT current_setting('app.tenant_id', true), count(*) FROM scheduling_batch")
            seen.append(cursor.fetchone())

    set_processor(process)
    (of_acme,), (of_globex,) = submit(acme, kind="scripted"), submit(globex, kind="scripted")
    with pytest.raises(SystemExit):
        run(of_acme)
    assert reload(of_acme).state == "retryable"
    assert run(of_globex).state == "completed"
    ((setting, rows),) = seen
    assert not setting
    assert rows == 0


def test_cancel_overrides_a_blanket_except_of_the_processor(
    acme: Tenant, local: LocalWorker, run: Run, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        (held,) = local.block.held_slots()
        local.block.ask(held, Cause.CANCEL)
        with suppress(Exception):
            context.should_yield()

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "cancelled"
