"""The database connections that a worker's children and its heartbeat keep, and their recovery after an error."""

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
    """Keep each database connection until it breaks, whatever its age: reconnecting takes longer than a small job."""
    # The connections of all threads and children read this one dictionary.
    connections[APP_ALIAS].settings_dict["CONN_MAX_AGE"] = None


def name_connections(worker_id: UUID) -> None:
    """Set the worker's name on the database sessions of this process and its children.

    A dispatcher ends the sessions of a lost worker by this name.
    """
    settings = connections[APP_ALIAS].settings_dict
    settings["OPTIONS"] = {**settings["OPTIONS"], "application_name": session_name(worker_id)}


def preconnect(**_: Any) -> None:
    """Connect a new child to the database, so that its first job need not; without a database that job tries again."""
    with suppress(*CONNECTION_ERRORS):
        connection.ensure_connection()


def check_connection() -> None:
    """Close a connection that an error left unusable, so that the next query opens a new one; called before a job."""
    connection.close_if_unusable_or_obsolete()


def drop_open_transaction() -> bool:
    """Roll back a transaction that a processor left open, and return whether there was one; called after a job.

    Django remembers the transaction even if its connection is closed, so a new connection replaces it at once; without
    a database the next query tries again. A closed connection has no open transaction.
    """
    # This thread's connection, looked up once: `connection` looks it up at each access.
    ours = connections[APP_ALIAS]
    if not ours.in_atomic_block and (ours.connection is None or ours.get_autocommit()):
        return False
    connection.close()
    with suppress(*CONNECTION_ERRORS), connection.wrap_database_errors:
        connection.connect()
    return True


def retry_on_disconnect[T](operation: Callable[[], T], *, give_up_after_seconds: float) -> T:
    """Call ``operation`` and return its result; after a database outage, call it again on a new connection.

    The pauses grow exponentially up to 2 s, with jitter. Raise the last error once ``give_up_after_seconds`` are over.
    Only repeat compare-and-set operations this way: repeating one whose commit succeeded changes nothing.
    """
    deadline = monotonic() + give_up_after_seconds
    backoff_seconds = FIRST_BACKOFF_SECONDS
    while True:
        try:
            return operation()
        except CONNECTION_ERRORS:
            connection.close()
            if monotonic() >= deadline:
                raise
        sleep(backoff_seconds + random.uniform(0, JITTER_SECONDS))  # noqa: S311 - jitter, no secret
        backoff_seconds = min(MAX_BACKOFF_SECONDS, backoff_seconds * 2)
