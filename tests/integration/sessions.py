"""End sessions in PostgreSQL from another session, as an administrator or a failover does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.backends.utils import CursorWrapper

PATIENCE_SECONDS = 20.0


def backend_pid() -> int:
    """Return the process id of the server's side of the default connection."""
    connection.ensure_connection()
    return int(connection.connection.info.backend_pid)


def terminate(pid: int) -> None:
    """End a session and wait until the server's process is gone."""
    with _other_session() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        assert cursor.fetchone() == (True,)


def terminate_own() -> None:
    """End the session of the default connection."""
    terminate(backend_pid())


def time_out(setting: str) -> None:
    """Idle in the open transaction until the server ends the session by its setting, then run a statement."""
    pid = backend_pid()
    with connection.cursor() as cursor:
        # A running timer is not restarted by another value.
        cursor.execute(f"SET LOCAL {setting} = 0; SET LOCAL {setting} = '10ms'")
        _wait_until_ended(pid)
        cursor.execute("SELECT 1")


def _wait_until_ended(pid: int) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    with _other_session() as cursor:
        while time.monotonic() < give_up_at:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
            if cursor.fetchone() == (0,):
                return
            time.sleep(0.01)
    raise AssertionError(f"The session of {pid} did not end.")


@contextmanager
def _other_session() -> Iterator[CursorWrapper]:
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.close()
