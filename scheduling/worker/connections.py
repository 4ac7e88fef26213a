"""The one database connection that each child and the heartbeat keep, and what happens when it breaks."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, connections

from scheduling.execution.lost_sessions import session_name
from tenants.database.conf import APP_ALIAS

CONNECTION_ERRORS = (OperationalError, InterfaceError)
FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 2.0
JITTER_SECONDS = 0.1


def keep_connections() -> None:
    """In a worker a connection ends when it breaks, not when it is old: reconnecting takes longer than a small job."""
    # Every thread's connection, and every child's, reads this one dictionary.
    connections[APP_ALIAS].settings_dict["CONN_MAX_AGE"] = None


def name_connections(worker_id: UUID) -> None:
    """Give the sessions of this process and its children the worker's name, by which a dispatcher may end them."""
    settings = connections[APP_ALIAS].settings_dict
    settings["OPTIONS"] = {**settings["OPTIONS"], "application_name": session_name(worker_id)}


def connect_early(**_: Any) -> None:
    """In a new child: the first job need not wait for its connection. Without a database it is tried again there."""
    with suppress(*CONNECTION_ERRORS):
        connection.ensure_connection()


def check_connection() -> None:
    """Before a job: drop a connection that an error left behind, so that the next query opens a new one."""
    connection.close_if_unusable_or_obsolete()


def drop_open_transaction() -> bool:
    """After a job: whether its processor had left a transaction open; that one is rolled back.

    A connection that is gone has none. Django remembers the transaction even when its connection is closed, so a new
    one takes its place at once; without a database it is tried again by the next query.
    """
    # The thread's own, looked up once: `connection` looks for it at each name.
    ours = connections[APP_ALIAS]
    if not ours.in_atomic_block and (ours.connection is None or ours.get_autocommit()):
        return False
    connection.close()
    with suppress(*CONNECTION_ERRORS), connection.wrap_database_errors:
        connection.connect()
    return True


def persistently[T](attempt: Callable[[], T], *, give_up_after_seconds: float) -> T:
    """Return what ``attempt`` returns, and repeat it on a new connection after each database outage.

    Back off exponentially up to 2 s, with jitter. Raise the last error once ``give_up_after_seconds`` are over.
    Repeat only compare-and-set operations this way: repeating one whose commit succeeded changes nothing.
    """
    deadline = monotonic() + give_up_after_seconds
    backoff_seconds = FIRST_BACKOFF_SECONDS
    while True:
        try:
            return attempt()
        except CONNECTION_ERRORS:
            connection.close()
            if monotonic() >= deadline:
                raise
        sleep(backoff_seconds + random.uniform(0, JITTER_SECONDS))  # noqa: S311 - jitter, no secret
        backoff_seconds = min(MAX_BACKOFF_SECONDS, backoff_seconds * 2)
