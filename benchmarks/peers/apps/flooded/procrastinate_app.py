"""Procrastinate on PostgreSQL with its priorities."""

from __future__ import annotations

import asyncio
import os
from functools import cache

import jobs
from procrastinate import App, PsycopgConnector

BATCH = 1_000
app = App(connector=PsycopgConnector(conninfo=os.environ["PEER_DATABASE_URL"]))


@app.task(name="bulk", priority=0)
async def bulk(tenant: int) -> None:
    """A job of the tenant that floods."""
    await asyncio.sleep(jobs.BULK_SECONDS)
    jobs.write_bulk()


@app.task(name="quick", priority=10)
async def quick(tenant: int, submitted_at: float) -> None:
    """A job of a quiet tenant."""
    jobs.run_quick(submitted_at)


def flood(count: int) -> None:
    """Make the tables, and defer so many of the noisy tenant's."""
    sender = _open()
    sender.schema_manager.apply_schema()
    for first in range(0, count, BATCH):
        bulk.batch_defer(*[{"tenant": 0}] * min(BATCH, count - first))
    sender.close()


def submit(tenant: int, at: float) -> None:
    """Defer one of a quiet tenant's."""
    _open()
    quick.defer(tenant=tenant, submitted_at=at)


@cache
def _open() -> App:
    return app.open()
