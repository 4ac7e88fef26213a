"""Procrastinate on PostgreSQL."""

from __future__ import annotations

import os

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

BATCH = 1_000
_url = os.environ["PEER_DATABASE_URL"]
app = App(connector=PsycopgConnector(conninfo=_url))


@app.task(name="noop")
async def noop() -> None:
    """Nothing."""


def enqueue(count: int) -> None:
    """Make the tables, and defer so many."""
    with app.replace_connector(SyncPsycopgConnector(conninfo=_url)) as syncing, syncing.open():
        syncing.schema_manager.apply_schema()
        for first in range(0, count, BATCH):
            syncing.tasks["noop"].batch_defer(*[{}] * min(BATCH, count - first))
