"""The pipeline of one execution, in the test's own process with real commits, against processors that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import EntryPoint

import pytest
from django.db import connection, transaction
from django.utils import timezone

from scheduling.models import Batch, DeadLetter, Execution, Job, LiveExecution, WorkerPool
from scheduling.processors import registry
from scheduling.processors.base import Complete, Discard, JobContext, Outcome, PermanentError, TaskProcessor
from scheduling.services.dispatching import run_tick
from scheduling.services.ledger import verify_ledger
from scheduling.services.workers import register_worker
from scheduling.worker.control_block import Cause, ControlBlock
from scheduling.worker.execution import execute
from scheduling.worker.registration import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.acts import reload, submit

pytestmark = pytest.mark.django_db(transaction=True)
type Run = Callable[[Job], Job]

# What the processor of the kind `scripted` does; set by each test.
script: Callable[[JobContext], object] = lambda context: None  # noqa: E731
on_error: Callable[[JobContext, BaseException], Outcome | None] = lambda context, error: None  # noqa: E731


class Scripted(TaskProcessor):
    kind = "scripted"

    def process(self, context: JobContext) -> Outcome | None:
        return script(context)  # type: ignore[return-value]

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        return on_error(context, error)


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kind `scripted`, installed as a stranger's package would be."""
    point = EntryPoint("scripted", f"{__name__}:Scripted", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    registry.reset()
    yield
    registry.reset()


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what the processor does, and what it answers to its own error."""

    def set_script(process: Callable[[JobContext], object], handle_error: object = lambda context, error: None) -> None:
        monkeypatch.setattr(f"{__name__}.script", process)
        monkeypatch.setattr(f"{__name__}.on_error", handle_error)

    return set_script


@pytest.fixture
def local(transactional_db: None) -> LocalWorker:
    """A worker of one slot, which is this process."""
    return LocalWorker(register_worker(pool_name="default", hostname="test", pid=1, slots=1), ControlBlock(1))


@pytest.fixture
def run(local: LocalWorker) -> Run:
    """Dispatch and execute one job; what became of it."""

    def run_job(job: Job) -> Job:
        run_tick(WorkerPool.objects.get(name="default").pk)
        with all_tenants():
            live = LiveExecution.objects.get(job_id=job.pk)
        execute(execution_id=live.pk, token=live.token, child_index=0, worker=local)
        assert list(local.block.held_slots()) == []
        return reload(job)

    return run_job


def outcomes(job: Job) -> list[str]:
    with all_tenants():
        return list(Execution.objects.filter(job_id=job.pk).order_by("id").values_list("outcome", flat=True))


def raising(error: BaseException) -> Callable[..., object]:
    def raise_it(*_: object) -> object:
        raise error

    return raise_it


def test_effects_of_a_settlement_take_hold_with_it(acme: Tenant, run: Run, follow: Callable[..., None]) -> None:
    follow(lambda context: context.in_settlement(lambda: Batch.objects.create(label="done", kind="scripted", total=1)))
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    with tenant_context(acme):
        assert Batch.objects.get().label == "done"


def test_a_settlement_whose_effects_fail_leaves_nothing_and_fails_the_attempt(
    acme: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        context.in_settlement(lambda: Batch.objects.create(label="half", kind="scripted", total=1))
        context.in_settlement(raising(LookupError("no such row")))  # type: ignore[arg-type]

    follow(process)
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.error_type, job.attempt) == ("retryable", "LookupError", 1)
    with tenant_context(acme):
        assert not Batch.objects.exists()
    assert verify_ledger().is_balanced


def test_effects_see_their_own_tenant_alone(
    acme: Tenant, globex: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    with tenant_context(globex):
        Batch.objects.create(label="foreign", kind="noop", total=1)
    seen: list[int] = []
    follow(lambda context: context.checkpoint({"page": 1}, lambda: seen.append(Batch.objects.count())))
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert seen == [0]


def test_a_job_that_was_taken_away_is_stopped_at_its_next_checkpoint(
    acme: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        with all_tenants():
            Job.objects.filter(pk=context.job_id).update(fence=context.fencing_token + 1)
        context.checkpoint({"page": 1}, lambda: Batch.objects.create(label="zombie", kind="scripted", total=1))
        raise AssertionError("never reached")

    follow(process)
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.checkpoint) == ("executing", {})
    assert outcomes(job) == []
    with tenant_context(acme):
        assert not Batch.objects.exists()


def test_the_next_job_starts_from_the_last_checkpoint(acme: Tenant, run: Run, follow: Callable[..., None]) -> None:
    states: list[object] = []

    def process(context: JobContext) -> None:
        states.append(dict(context.state))
        context.checkpoint({"page": len(states)})
        if len(states) == 1:
            local_stop(context)

    def local_stop(context: JobContext) -> None:
        raise ConnectionResetError

    follow(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "retryable"
    make_due(job)
    assert run(job).state == "completed"
    assert states == [{}, {"page": 1}]


def make_due(job: Job) -> None:
    """Let the back-off of a job be over."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_job_due SET due_at = now() WHERE job_id = %s", [job.pk])


def test_nothing_of_a_tenant_is_left_for_the_next_ones_job(
    acme: Tenant, globex: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    with tenant_context(acme):
        Batch.objects.create(label="acme's", kind="noop", total=1)
    seen: list[tuple[object, ...]] = []

    def process(context: JobContext) -> None:
        with connection.cursor() as cursor:
            if context.tenant_id == acme.pk:
                # A plug-in that never leaves what it entered.
                transaction.atomic().__enter__()
                cursor.execute("SELECT set_config('app.tenant_id', %s, true)", [str(acme.pk)])
                raise ValueError("in the middle of a transaction")
            cursor.execute("SELECT current_setting('app.tenant_id', true), count(*) FROM scheduling_batch")
            seen.append(cursor.fetchone())

    follow(process)
    (of_acme,), (of_globex,) = submit(acme, kind="scripted"), submit(globex, kind="scripted")
    with pytest.raises(SystemExit):
        run(of_acme)
    assert reload(of_acme).state == "retryable"
    assert run(of_globex).state == "completed"
    ((setting, rows),) = seen
    assert not setting
    assert rows == 0


def test_a_cancel_outweighs_a_processors_blanket_except(
    acme: Tenant, local: LocalWorker, run: Run, follow: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        (held,) = local.block.held_slots()
        local.block.ask(held, Cause.CANCEL)
        with suppress(Exception):
            context.should_yield()

    follow(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "cancelled"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit(), RecursionError(), MemoryError()])
def test_whatever_a_processor_raises_fails_its_attempt_only(
    acme: Tenant, run: Run, follow: Callable[..., None], error: BaseException
) -> None:
    follow(raising(error))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.error_type) == ("retryable", type(error).__name__)


def test_handle_error_turns_an_error_into_an_outcome(acme: Tenant, run: Run, follow: Callable[..., None]) -> None:
    follow(raising(ValueError("odd")), lambda context, error: Complete({"recovered_from": str(error)}))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.result) == ("completed", {"recovered_from": "odd"})


def test_handle_error_may_discard(acme: Tenant, run: Run, follow: Callable[..., None]) -> None:
    follow(raising(ValueError("odd")), lambda context, error: Discard("beyond repair"))
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "discarded"
    with all_tenants():
        assert DeadLetter.objects.get(job_id=job.pk).error_message == "beyond repair"


def test_an_error_in_handle_error_is_the_attempts_error(acme: Tenant, run: Run, follow: Callable[..., None]) -> None:
    follow(raising(PermanentError("first")), raising(ArithmeticError("second")))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.error_message) == ("retryable", "second")


def test_a_result_that_is_too_large_is_a_dead_letter(acme: Tenant, run: Run, follow: Callable[..., None]) -> None:
    follow(lambda context: {"text": "x" * 70_000})
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.error_type) == ("discarded", "result_too_large")


def test_texts_that_postgresql_refuses_are_cleaned(acme: Tenant, run: Run, follow: Callable[..., None]) -> None:
    def process(context: JobContext) -> None:
        context.report_progress(1, 2, "half\0way \ud800")
        context.checkpoint({"word": "a\0b\udfff"})
        raise ValueError("broken\0 \ud83d")

    follow(process)
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.checkpoint, job.progress_message) == ({"word": "a�b?"}, "half�way ?")
    assert job.error_message == "broken� ?"


def test_progress_is_written_once_a_second_and_at_the_end(
    acme: Tenant, run: Run, follow: Callable[..., None], django_assert_max_num_queries: Callable[..., object]
) -> None:
    def process(context: JobContext) -> None:
        with django_assert_max_num_queries(30):  # type: ignore[attr-defined]
            for page in range(1, 501):
                context.report_progress(page, 500, f"page {page}")

    follow(process)
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.progress_current, job.progress_total, job.progress_message) == (500, 500, "page 500")


def test_a_job_of_a_kind_that_is_gone_is_a_dead_letter(acme: Tenant, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = submit(acme, kind="scripted")
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    registry.reset()
    job = run(job)
    assert (job.state, job.error_type) == ("discarded", "kind_unknown")


def test_a_job_whose_deadline_passed_before_its_start_is_discarded(
    acme: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    ran: list[object] = []
    follow(ran.append)
    (job,) = submit(acme, kind="scripted", deadline=timezone.now() + timedelta(hours=1))
    with all_tenants():
        Job.objects.filter(pk=job.pk).update(deadline_at=timezone.now())
    assert run(job).state == "discarded"
    assert ran == []


def test_a_message_that_comes_twice_runs_its_job_once(
    acme: Tenant, local: LocalWorker, run: Run, follow: Callable[..., None]
) -> None:
    ran: list[object] = []
    follow(ran.append)
    (job,) = submit(acme, kind="scripted")
    run_tick(WorkerPool.objects.get(name="default").pk)
    with all_tenants():
        live = LiveExecution.objects.get(job_id=job.pk)
    for _ in range(3):
        execute(execution_id=live.pk, token=live.token, child_index=0, worker=local)
    assert len(ran) == 1
    assert reload(job).state == "completed"
