"""Outcomes of jobs for everything that a processor may return or raise, with real commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from scheduling.dispatch.tick import run_tick
from scheduling.execution.message import execute
from scheduling.kit import registry
from scheduling.kit.base import Complete, Discard, JobContext, PermanentError
from scheduling.models import DeadLetter, Job, JobDue, LiveExecution, WorkerPool
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.scheduling.worker.conftest import Run, raising, value_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit(), RecursionError(), MemoryError()])
def test_any_exception_fails_only_its_attempt(
    acme: Tenant, kind: str, run: Run, set_processor: Callable[..., None], error: BaseException
) -> None:
    set_processor(raising(error))
    (job,) = submit(acme, kind=kind)
    job = run(job)
    assert (job.state, job.error_type) == ("retryable", type(error).__name__)


def test_handle_error_turns_an_error_into_an_outcome(
    acme: Tenant, kind: str, run: Run, set_processor: Callable[..., None]
) -> None:
    set_processor(raising(ValueError("odd")), lambda context, error: Complete({"recovered_from": str(error)}))
    (job,) = submit(acme, kind=kind)
    job = run(job)
    assert (job.state, job.result) == ("completed", {"recovered_from": "odd"})


def test_handle_error_may_discard(acme: Tenant, kind: str, run: Run, set_processor: Callable[..., None]) -> None:
    set_processor(raising(ValueError("odd")), lambda context, error: Discard("beyond repair"))
    (job,) = submit(acme, kind=kind)
    assert run(job).state == "discarded"
    with all_tenants():
        assert DeadLetter.objects.get(job_id=job.pk).error_message == "beyond repair"


def test_error_in_handle_error_is_the_attempts_error(
    acme: Tenant, kind: str, run: Run, set_processor: Callable[..., None]
) -> None:
    set_processor(raising(PermanentError("first")), raising(ArithmeticError("second")))
    (job,) = submit(acme, kind=kind)
    job = run(job)
    assert (job.state, job.error_message) == ("retryable", "second")


def test_too_large_result_is_a_dead_letter(
    acme: Tenant, kind: str, run: Run, set_processor: Callable[..., None]
) -> None:
    set_processor(lambda context: {"text": "x" * 70_000})
    (job,) = submit(acme, kind=kind)
    job = run(job)
    assert (job.state, job.error_type) == ("discarded", "result_too_large")


def test_texts_refused_by_postgresql_are_cleaned(
    acme: Tenant, kind: str, run: Run, set_processor: Callable[..., None]
) -> None:
    async def process(context: Any) -> None:
        await value_of(context.report_progress(1, 2, "half\0way \ud800"))
        await value_of(context.checkpoint({"word": "a\0b\udfff"}))
        raise ValueError("broken\0 \ud83d")

    set_processor(process)
    (job,) = submit(acme, kind=kind)
    job = run(job)
    assert (job.checkpoint, job.progress_message) == ({"word": "a�b?"}, "half�way ?")
    assert job.error_message == "broken� ?"


def test_progress_is_written_once_a_second_and_at_the_end(
    acme: Tenant,
    kind: str,
    run: Run,
    set_processor: Callable[..., None],
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    async def process(context: Any) -> None:
        for page in range(1, 501):
            await value_of(context.report_progress(page, 500, f"page {page}"))

    set_processor(process)
    (job,) = submit(acme, kind=kind)
    with django_assert_max_num_queries(100):  # type: ignore[attr-defined]
        job = run(job)
    assert (job.progress_current, job.progress_total, job.progress_message) == (500, 500, "page 500")


def test_job_of_a_kind_that_the_worker_lacks_uses_no_attempt(
    acme: Tenant, kind: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = submit(acme, kind=kind)
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    registry.reset()
    job = run(job)
    assert (job.state, job.attempt, job.error_type) == ("scheduled", 0, "")
    with all_tenants():
        assert JobDue.objects.get(job_id=job.pk).due_at <= timezone.now() + timedelta(seconds=1)


def test_job_past_its_deadline_before_its_start_is_discarded(
    acme: Tenant, kind: str, run: Run, set_processor: Callable[..., None]
) -> None:
    ran: list[object] = []
    set_processor(ran.append)
    (job,) = submit(acme, kind=kind, deadline=timezone.now() + timedelta(hours=1))
    with all_tenants():
        Job.objects.filter(pk=job.pk).update(deadline_at=timezone.now())
    assert run(job).state == "discarded"
    assert ran == []


def test_repeated_message_runs_its_job_once(
    acme: Tenant, kind: str, local: LocalWorker, run: Run, set_processor: Callable[..., None]
) -> None:
    ran: list[object] = []
    set_processor(ran.append)
    (job,) = submit(acme, kind=kind)
    run_tick(WorkerPool.objects.get(name="default").pk)
    with all_tenants():
        live = LiveExecution.objects.get(job_id=job.pk)
    for _ in range(3):
        execute(execution_ids=[live.pk], token=live.token, child_index=0, worker=local)
    assert len(ran) == 1
    assert reload(job).state == "completed"


def test_unstorable_result_fails_the_attempt_without_effects(
    acme: Tenant, kind: str, run: Run, set_processor: Callable[..., None]
) -> None:
    effects: list[str] = []

    def process(context: JobContext) -> dict[str, object]:
        context.in_settlement(lambda: effects.append("settled"))
        context.submit_child(kind)
        return {"items": [0, {"owner": object()}]}

    set_processor(process)
    (job,) = submit(acme, kind=kind)
    job = run(job)
    assert (job.state, job.error_type, job.result) == ("discarded", "result_invalid", None)
    assert job.error_message == "result.items[1].owner: object of type object cannot be stored."
    assert effects == []
    with all_tenants():
        assert Job.objects.count() == 1


def test_result_with_a_date_and_a_decimal_is_stored(
    acme: Tenant, kind: str, run: Run, set_processor: Callable[..., None]
) -> None:
    set_processor(lambda context: {"at": datetime(2026, 1, 2, tzinfo=UTC), "price": Decimal("1.50")})
    (job,) = submit(acme, kind=kind)
    assert run(job).result == {"at": "2026-01-02T00:00:00+00:00", "price": "1.50"}
