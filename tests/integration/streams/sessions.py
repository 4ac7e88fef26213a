"""Another session of the application, whose transaction stays open as long as the test needs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

from scheduling.streams.event_feed import read_horizon


@contextmanager
def another_session(tenant_id: object) -> Iterator[psycopg.Connection[Any]]:
    """Yield a transaction in a tenant's scope, begun by hand; roll it back unless it was committed."""
    parameters = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    with psycopg.connect(
        **{name: parameters[name] for name in names if name in parameters}, autocommit=True
    ) as session:
        session.execute("BEGIN")
        session.execute("SELECT set_config('app.tenant_id', %s, true)", [str(tenant_id)])
        yield session


def wait_for_older_transactions() -> None:
    """Return once no older transaction is open: the server has its own, and those of other test processes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        (mine,) = cursor.fetchone()
    give_up_at = time.monotonic() + 300
    while read_horizon().settled <= mine:
        assert time.monotonic() < give_up_at, "a transaction stays open"
        time.sleep(0.01)
