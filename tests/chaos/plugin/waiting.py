"""Kind whose jobs wait in a coroutine, or misbehave in one."""

from __future__ import annotations

import asyncio
import os
import time

from django.db import connection

from scheduling.kit.base import AsyncJobContext, AsyncTaskProcessor, Json
from scheduling.models import Job


class WaitingProcessor(AsyncTaskProcessor):
    """Waits ``seconds``, 50 tasks at once, or blocks its event loop or a thread for so long.

    Its result says what it has seen.
    """

    kind = "chaos_waiting"
    title = "Wait in a coroutine"
    has_circuit = False
    max_retries = 0
    timeout_seconds = 2.0
    payload_schema = {
        "type": "object",
        "properties": {
            "seconds": {"type": "number"},
            **{name: {"type": "boolean"} for name in ("blocks", "sleeps", "holds_thread")},
        },
    }

    async def process(self, context: AsyncJobContext) -> Json | None:
        seconds = context.payload.get("seconds", 0.0)
        await context.checkpoint({"pid": os.getpid()})
        if context.payload.get("blocks"):
            time.sleep(seconds)  # noqa: ASYNC251 - on purpose
        if context.payload.get("holds_thread"):
            await context.run(time.sleep, seconds)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(50):
                tasks.create_task(asyncio.sleep(seconds))
            if context.payload.get("sleeps"):
                tasks.create_task(self._hold(context, seconds))
        async with context.database():
            tenants = {str(job.tenant_id) async for job in Job.objects.all()}
        return {"pid": os.getpid(), "tenants": sorted(tenants)}

    async def _hold(self, context: AsyncJobContext, seconds: float) -> None:
        async with context.database():
            await context.run(sleep_in_database, seconds)


class PatientProcessor(WaitingProcessor):
    """Waits as its base does, without a time limit that could end it first."""

    kind = "chaos_patient"
    title = "Wait in a coroutine for long"
    timeout_seconds = 600.0


def sleep_in_database(seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])
