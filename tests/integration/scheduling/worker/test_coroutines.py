"""Jobs whose processor is a coroutine: requests to stop, time limits, groups of tasks, and the context's services."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from scheduling.execution.logs.queries import read_log
from scheduling.kit.base import (
    AsyncJobContext,
    AwaitChildren,
    Complete,
    Interrupted,
    PermanentError,
    TransientError,
    Yielded,
)
from scheduling.kit.http import send_async
from scheduling.models import Batch, CircuitNews, Execution, Job
from scheduling.worker.control_block import Cause
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import Run, ScriptedCoroutine, outcomes
from tests.integration.sessions import terminate_own
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import web_server

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.parametrize("pool", ["prefork", "io"], indirect=True),
]

type Follow = Callable[..., None]
KIND = "scripted_coroutine"


async def for_ever() -> None:
    await asyncio.Event().wait()


@pytest.fixture
def request_stop(local: LocalWorker) -> Callable[[Cause], None]:
    """Request the running job to stop, as the worker's parent does."""

    def ask(cause: Cause) -> None:
        if cause is Cause.SHUTDOWN:
            local.block.stop()
            return
        (held,) = local.block.held_slots()
        local.block.ask(held, cause)

    return ask


@pytest.mark.parametrize(
    ("cause", "state", "outcome"),
    [
        (Cause.CANCEL, "cancelled", "cancelled"),
        (Cause.DEADLINE, "discarded", "expired"),
        (Cause.SHUTDOWN, "available", "shutdown"),
    ],
)
def test_request_to_stop_cancels_the_coroutine_where_it_waits(
    acme: Tenant,
    run: Run,
    set_processor: Follow,
    request_stop: Callable[..., None],
    cause: Cause,
    state: str,
    outcome: str,
) -> None:
    cleaned: list[str] = []

    async def process(context: AsyncJobContext) -> None:
        request_stop(cause)
        try:
            await for_ever()
        finally:
            cleaned.append("up")

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    assert run(job).state == state
    assert (outcomes(job), cleaned) == ([outcome], ["up"])


def test_coroutine_that_has_lost_its_fence_settles_nothing(
    acme: Tenant, run: Run, set_processor: Follow, request_stop: Callable[..., None]
) -> None:
    async def process(context: AsyncJobContext) -> None:
        request_stop(Cause.FENCE_LOST)
        await for_ever()

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    assert run(job).state == "executing"


def test_result_after_a_request_to_stop_is_kept(
    acme: Tenant, run: Run, set_processor: Follow, request_stop: Callable[..., None]
) -> None:
    async def process(context: AsyncJobContext) -> Complete:
        request_stop(Cause.CANCEL)
        with suppress(asyncio.CancelledError):
            await for_ever()
        return Complete({"done": True})

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    assert run(job).state == "completed"


def test_safe_point_in_a_task_group_stops_the_job(
    acme: Tenant, run: Run, set_processor: Follow, request_stop: Callable[..., None]
) -> None:
    async def process(context: AsyncJobContext) -> None:
        request_stop(Cause.CANCEL)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(for_ever())
            tasks.create_task(context.should_yield())  # type: ignore[arg-type]

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    assert run(job).state == "cancelled"


@pytest.mark.parametrize(
    ("error", "state", "error_type"),
    [
        (PermanentError("no", code="odd"), "discarded", "odd"),
        (TransientError("later", code="busy"), "retryable", "busy"),
        (ValueError("no"), "retryable", "ValueError"),
    ],
)
def test_error_in_a_nested_task_group_keeps_its_meaning(
    acme: Tenant, run: Run, set_processor: Follow, error: Exception, state: str, error_type: str
) -> None:
    async def fail() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(raise_it())

    async def raise_it() -> None:
        raise error

    async def process(context: AsyncJobContext) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(for_ever())
            tasks.create_task(fail())

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    job = run(job)
    assert (job.state, job.error_type) == (state, error_type)


@pytest.fixture
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptedCoroutine, "timeout_seconds", 0.2)


@pytest.mark.usefixtures("short_limit")
def test_time_limit_cancels_the_coroutine_and_uses_an_attempt(acme: Tenant, run: Run, set_processor: Follow) -> None:
    handled: list[BaseException] = []

    async def process(context: AsyncJobContext) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(for_ever())

    set_processor(process, lambda context, error: handled.append(error))
    (job,) = submit(acme, kind=KIND)
    job = run(job)
    assert (job.state, job.attempt, job.error_type) == ("retryable", 1, "timed_out")
    assert job.error_message == "The job exceeded its kind's time limit of 0.2 s."
    assert (outcomes(job), handled) == ([Execution.Outcome.TIMED_OUT], [])


def test_own_time_out_of_a_processor_is_its_error(acme: Tenant, run: Run, set_processor: Follow) -> None:
    async def process(context: AsyncJobContext) -> None:
        async with asyncio.timeout(0.01):
            await for_ever()

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    job = run(job)
    assert (job.error_type, outcomes(job)) == ("TimeoutError", ["failed"])


def test_request_to_yield_wakes_a_coroutine_that_waits_for_it(
    acme: Tenant, run: Run, set_processor: Follow, local: LocalWorker
) -> None:
    async def process(context: AsyncJobContext) -> Yielded:
        (held,) = local.block.held_slots()
        assert not await context.should_yield()
        local.block.request_yield(held, is_requested=True)
        await context.yield_requested()
        assert await context.should_yield()
        return Yielded({"step": 1})

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    job = run(job)
    assert (job.state, job.checkpoint) == ("available", {"step": 1})


def test_tasks_that_the_processor_leaves_behind_end_with_it(acme: Tenant, run: Run, set_processor: Follow) -> None:
    left: list[asyncio.Task[None]] = []

    async def process(context: AsyncJobContext) -> None:
        left.append(asyncio.create_task(for_ever()))

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    assert run(job).state == "completed"
    assert left[0].cancelled()


def test_checkpoint_effects_children_and_log(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def effect(label: str) -> Callable[[], object]:
        return lambda: Batch.objects.create(label=label, kind="noop", total=1)

    async def process(context: AsyncJobContext) -> AwaitChildren:
        await context.checkpoint({"step": 1}, effect("at the checkpoint"))
        with suppress(ZeroDivisionError):
            await context.checkpoint({"step": 2}, lambda: 1 / 0)
        context.in_settlement(effect("never: the job does not complete"))
        context.submit_child(KIND, {"number": 1})
        context.log("said", number=1)
        logging.getLogger(__name__).warning("recorded")
        await context.report_progress(1, 2, "half")
        assert await context.children() == []
        return AwaitChildren({"step": 3})

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    job = run(job)
    assert (job.state, job.progress_message) == ("suspended", "half")
    with tenant_context(acme):
        assert list(Batch.objects.filter(kind="noop").values_list("label", flat=True)) == ["at the checkpoint"]
        assert Job.objects.exclude(pk=job.pk).count() == 1
        assert [row.message for row in read_log(job, limit=10).lines] == ["said", "recorded"]


def test_dependency_that_fails_in_a_task_group_is_reported_once(acme: Tenant, run: Run, set_processor: Follow) -> None:
    async def call() -> None:
        raise TransientError("later", code="busy")

    async def process(context: AsyncJobContext) -> None:
        async with context.dependency("up.example.com"):
            await asyncio.sleep(0)
        async with context.dependency("down.example.com"), asyncio.TaskGroup() as tasks:
            tasks.create_task(call())
            tasks.create_task(for_ever())

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    assert run(job).error_type == "busy"
    with all_tenants():
        news = CircuitNews.objects.exclude(dependency="").order_by("id").values_list("dependency", "error_type")
        assert list(news) == [("down.example.com", "busy")]


def test_lost_session_in_a_coroutine_uses_no_attempt(acme: Tenant, run: Run, set_processor: Follow) -> None:
    async def process(context: AsyncJobContext) -> None:
        async with context.database():
            await context.run(terminate_own)
            await Batch.objects.acount()

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    job = run(job)
    assert (job.state, job.attempt) == ("available", 0)


def test_handle_error_of_a_coroutine_may_wait(acme: Tenant, run: Run, set_processor: Follow) -> None:
    async def fail(context: AsyncJobContext) -> None:
        raise ValueError("odd")

    async def handle(context: AsyncJobContext, error: BaseException) -> Complete:
        async with context.database():
            return Complete({"error": str(error), "batches": await Batch.objects.acount()})

    set_processor(fail, handle)
    (job,) = submit(acme, kind=KIND)
    assert run(job).result == {"error": "odd", "batches": 0}


def test_calls_of_urls_run_at_once_without_the_database(
    acme: Tenant, run: Run, set_processor: Follow, change_platform_settings: ChangePlatformSettings
) -> None:
    with web_server() as server:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{server.port}"])

        async def process(context: AsyncJobContext) -> dict[str, Any]:
            answers = await asyncio.gather(*[send_async("GET", f"{server.url}/hook") for _ in range(5)])
            return {"statuses": [answer.status for answer in answers]}

        set_processor(process)
        (job,) = submit(acme, kind=KIND)
        assert run(job).result == {"statuses": [200] * 5}


def test_blocking_context_works_in_a_function_that_is_run(
    acme: Tenant, run: Run, set_processor: Follow, request_stop: Callable[..., None]
) -> None:
    async def process(context: AsyncJobContext) -> None:
        await context.run(context.blocking.checkpoint, {"step": 1})
        request_stop(Cause.CANCEL)
        with pytest.raises(Interrupted):
            await context.run(context.blocking.should_yield)
        await for_ever()

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    job = run(job)
    assert (job.state, job.checkpoint) == ("cancelled", {"step": 1})
