"""The database of jobs whose processor is a coroutine: only in its block, one task at a time, for one tenant."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from scheduling.kit.base import AsyncJobContext, PermanentError
from scheduling.models import Batch
from scheduling.worker.control_block import Cause
from scheduling.worker.local_worker import LocalWorker
from tenants.context import current_scope, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import Run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.parametrize("pool", ["prefork", "io"], indirect=True),
]

type Follow = Callable[..., None]
KIND = "scripted_coroutine"
NOT_LENT = "database_not_lent"


def batch(label: str, **columns: Any) -> dict[str, Any]:
    return {"label": label, "kind": "noop", "total": 1, **columns}


def labels(tenant: Tenant) -> list[str]:
    with tenant_context(tenant):
        return list(Batch.objects.order_by("label").values_list("label", flat=True))


def execute_sql(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def test_block_has_the_orm_with_the_rows_of_the_tenant(
    acme: Tenant, globex: Tenant, run: Run, set_processor: Follow
) -> None:
    with tenant_context(globex):
        Batch.objects.create(**batch("foreign"))

    async def process(context: AsyncJobContext) -> dict[str, Any]:
        async with context.database():
            created = await Batch.objects.acreate(**batch("own"))
            created.label = "renamed"
            await created.asave()
            found = [row.label async for row in Batch.objects.all()]
            rows = await context.run(execute_sql, "SELECT count(*) FROM scheduling_batch")
        return {"found": found, "rows": rows[0][0]}

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    assert run(job).result == {"found": ["renamed"], "rows": 1}
    assert (labels(acme), current_scope()) == (["renamed"], None)


def test_error_in_a_block_rolls_back_that_block(acme: Tenant, run: Run, set_processor: Follow) -> None:
    async def process(context: AsyncJobContext) -> None:
        async with context.database():
            await Batch.objects.acreate(**batch("outer"))
            with suppress(ZeroDivisionError):
                async with context.database():
                    await Batch.objects.acreate(**batch("inner"))
                    _ = 1 / 0
        with suppress(ZeroDivisionError):
            async with context.database():
                await Batch.objects.acreate(**batch("second"))
                _ = 1 / 0

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    assert run(job).state == "completed"
    assert labels(acme) == ["outer"]


def test_tasks_take_the_connection_in_turn(acme: Tenant, run: Run, set_processor: Follow) -> None:
    """A failing block rolls back nothing of another task's, nor a checkpoint that another task stores meanwhile."""

    async def process(context: AsyncJobContext) -> None:
        is_in_block = asyncio.Event()

        async def fail() -> None:
            async with context.database():
                await Batch.objects.acreate(**batch("failed"))
                is_in_block.set()
                await asyncio.sleep(0.05)
                raise ValueError

        async def store() -> None:
            await is_in_block.wait()
            await context.checkpoint({"step": 1}, lambda: Batch.objects.create(**batch("stored")))

        await asyncio.gather(fail(), store(), return_exceptions=True)

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    job = run(job)
    assert (job.state, job.checkpoint, labels(acme)) == ("completed", {"step": 1}, ["stored"])


def test_task_that_is_started_in_a_block_runs_statements_in_it_alone(
    acme: Tenant, run: Run, set_processor: Follow
) -> None:
    async def process(context: AsyncJobContext) -> None:
        async def open_block() -> None:
            async with context.database():
                await Batch.objects.acreate(**batch("after"))

        async def create_after(end: asyncio.Event) -> None:
            await end.wait()
            await Batch.objects.acreate(**batch("late"))

        async def open_after(end: asyncio.Event) -> None:
            await end.wait()
            await open_block()

        end_of_inner, end = asyncio.Event(), asyncio.Event()
        async with context.database():
            async with context.database():
                at_once = asyncio.create_task(open_block())
                after_inner = asyncio.create_task(open_after(end_of_inner))
            end_of_inner.set()
            async with asyncio.TaskGroup() as tasks:
                [tasks.create_task(Batch.objects.acreate(**batch(str(number)))) for number in range(3)]  # type: ignore[arg-type]
            for refused in (at_once, after_inner, asyncio.create_task(context.checkpoint({}))):  # type: ignore[arg-type]
                with pytest.raises(PermanentError, match="started in a block") as caught:
                    await refused
                assert caught.value.code == NOT_LENT
            late, after = asyncio.create_task(create_after(end)), asyncio.create_task(open_after(end))
        end.set()
        await after
        await late

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    job = run(job)
    assert (job.state, job.error_type) == ("discarded", NOT_LENT)
    assert labels(acme) == ["0", "1", "2", "after"]


def test_cancel_while_a_block_ends_lets_it_end(
    acme: Tenant, run: Run, set_processor: Follow, local: LocalWorker
) -> None:
    async def process(context: AsyncJobContext) -> None:
        (held,) = local.block.held_slots()
        local.block.ask(held, Cause.CANCEL)
        async with context.database(), asyncio.timeout(0.01):
            # The block cannot end before this statement has.
            await Batch.objects.extra(where=["pg_sleep(0.4) IS NOT NULL"]).acount()

    with tenant_context(acme):
        Batch.objects.create(**batch("slow"))
    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    assert run(job).state == "cancelled"
    assert not connection.in_atomic_block


@pytest.mark.parametrize("wait", ["run", "orm", "enter"])
def test_cancel_in_a_block_rolls_back_after_the_running_statement(
    acme: Tenant, run: Run, set_processor: Follow, local: LocalWorker, wait: str
) -> None:
    async def process(context: AsyncJobContext) -> None:
        (held,) = local.block.held_slots()
        local.block.ask(held, Cause.CANCEL)
        if wait == "enter":
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(context.run(execute_sql, "SELECT pg_sleep(0.3)"))
                await asyncio.sleep(0)
                async with context.database():
                    await Batch.objects.acreate(**batch("cancelled"))
        async with context.database():
            await Batch.objects.acreate(**batch("cancelled"))
            if wait == "run":
                await context.run(execute_sql, "SELECT pg_sleep(0.3)")
            await Batch.objects.extra(where=["pg_sleep(0.3) IS NOT NULL"]).acount()

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    assert run(job).state == "cancelled"
    assert labels(acme) == []
    assert not connection.in_atomic_block


async def _not_entered(context: AsyncJobContext) -> None:
    await Batch.objects.acount()


async def _no_model_of_a_tenant(context: AsyncJobContext) -> None:
    await User.objects.acount()


async def _on_the_loop(context: AsyncJobContext) -> None:
    User.objects.count()


async def _on_the_loop_in_a_block(context: AsyncJobContext) -> None:
    async with context.database():
        Batch.objects.count()


async def _in_a_thread(context: AsyncJobContext) -> None:
    await asyncio.to_thread(User.objects.count)


async def _in_a_thread_in_a_block(context: AsyncJobContext) -> None:
    async with context.database():
        await asyncio.to_thread(User.objects.count)


async def _in_a_scope_of_a_thread(context: AsyncJobContext) -> None:
    def count() -> None:
        with tenant_context(context.tenant_id):
            Batch.objects.count()

    await asyncio.to_thread(count)


async def _beside_a_block(context: AsyncJobContext) -> None:
    async def hold() -> None:
        async with context.database():
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hold())
        await asyncio.sleep(0.05)
        tasks.create_task(User.objects.acount())


async def _in_the_blocking_context(context: AsyncJobContext) -> None:
    context.blocking.checkpoint({"step": 1})


@pytest.mark.parametrize(
    "process",
    [
        _not_entered,
        _no_model_of_a_tenant,
        _on_the_loop,
        _on_the_loop_in_a_block,
        _in_a_thread,
        _in_a_thread_in_a_block,
        _in_a_scope_of_a_thread,
        _beside_a_block,
        _in_the_blocking_context,
    ],
)
def test_orm_outside_of_a_block_is_refused_with_the_cure(
    acme: Tenant, run: Run, set_processor: Follow, process: Callable[[AsyncJobContext], Awaitable[None]]
) -> None:
    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    opened: list[str] = []

    def note_connection(connection: BaseDatabaseWrapper, **_: object) -> None:
        thread = threading.current_thread().name
        if connection.connection is not None and not thread.startswith(("io-database", "lane-")):
            opened.append(thread)

    connection_created.connect(note_connection)
    try:
        job = run(job)
    finally:
        connection_created.disconnect(note_connection)
    assert (job.state, job.error_type) == ("discarded", NOT_LENT)
    assert "async with context.database()" in job.error_message
    assert opened == []


async def _step(context: AsyncJobContext, draw: random.Random, seen: list[object]) -> None:
    """Use the database, or something else, in one of the ways that a job's tasks do."""
    match draw.randrange(7):
        case 0:
            async with context.database():
                seen.extend([row.tenant_id async for row in Batch.objects.all()])
        case 1:
            async with context.database():
                await Batch.objects.acreate(**batch(str(context.tenant_id)))
                await _step(context, draw, seen)
        case 2:
            await context.checkpoint({"step": 1}, lambda: Batch.objects.create(**batch(str(context.tenant_id))))
        case 3:
            async with context.database():
                rows = await context.run(
                    execute_sql,
                    "SELECT DISTINCT tenant_id FROM scheduling_batch"
                    " UNION SELECT current_setting('app.tenant_id', true)::uuid",
                )
                seen.extend(row[0] for row in rows)
        case 4:
            context.log(str(context.tenant_id))
        case 5:
            async with context.database():
                raise ValueError
        case 6:
            async with asyncio.timeout(draw.random() / 1_000):
                await _step(context, draw, seen)


def test_interleaved_tasks_of_two_tenants_see_only_their_own_rows(
    acme: Tenant, globex: Tenant, run: Run, set_processor: Follow
) -> None:
    seen: list[tuple[object, list[object]]] = []

    async def process(context: AsyncJobContext) -> None:
        draw, found = random.Random(f"{context.payload['seed']}"), list[object]()
        seen.append((context.tenant_id, found))

        async def task() -> None:
            for _ in range(draw.randint(3, 6)):
                with suppress(ValueError, TimeoutError):
                    await _step(context, draw, found)

        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(task()) for _ in range(8)]
            await asyncio.sleep(draw.random() / 50)
            draw.choice(started).cancel()

    set_processor(process)
    for seed in range(20):
        (job,) = submit(draw_tenant := (acme, globex)[seed % 2], kind=KIND, payload={"seed": seed})
        assert run(job).state == "completed", draw_tenant
        assert not connection.in_atomic_block
        assert current_scope() is None
    assert sum(len(found) for _, found in seen) > 100
    assert [found for tenant_id, found in seen if set(found) - {tenant_id}] == []
    assert {*labels(acme)} == {str(acme.pk)}
    assert {*labels(globex)} == {str(globex.pk)}
