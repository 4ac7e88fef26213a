"""Procrastinate on PostgreSQL with its priorities."""

from __future__ import annotations

import asyncio
import os
from functools import cache
from typing import Any

import jobs
from procrastinate import App, PsycopgConnector

BATCH = 1_000
app = App(connector=PsycopgConnector(conninfo=os.environ["PEER_DATABASE_URL"]))


@app.task(name="noop")
async def noop() -> None:
    """Do nothing."""


@app.task(name="bulk", priority=0)
async def bulk(tenant: int) -> None:
    """Run a job of the tenant that floods."""
    await asyncio.sleep(jobs.BULK_SECONDS)
    jobs.record_bulk()


@app.task(name="quick", priority=10)
async def quick(tenant: int, submitted_at: float) -> None:
    """Run a job of a quiet tenant."""
    jobs.quick(tenant, submitted_at)


def enqueue(count: int) -> None:
    """Create the tables and defer no-op jobs."""
    _defer(noop, {}, count)


def flood(count: int) -> None:
    """Create the tables and defer jobs of the noisy tenant."""
    _defer(bulk, {"tenant": 0}, count)


def submit(tenant: int, at: float) -> None:
    """Defer one job of a quiet tenant."""
    _open()
    quick.defer(tenant=tenant, submitted_at=at)


def _defer(task: Any, arguments: dict[str, int], count: int) -> None:
    sender = _open()
    sender.schema_manager.apply_schema()
    for first in range(0, count, BATCH):
        task.batch_defer(*[arguments] * min(BATCH, count - first))
    sender.close()


@cache
def _open() -> App:
    return app.open()
