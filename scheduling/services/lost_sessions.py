"""Ending the database sessions of lost workers: what such a worker has locked is free at once."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

from scheduling import signals
from scheduling.conf import lease_seconds
from tenants.context import all_tenants

# A worker that was lost longer ago has no session left that would matter.
LOOK_BACK_SECONDS = 600.0
_LOST_WORKERS = """
SELECT id FROM scheduling_worker
WHERE heartbeat_at < now() - make_interval(secs => %s) AND heartbeat_at > now() - make_interval(secs => %s)
"""
# By the name that the worker's sessions bear, and never by a process number, which the server gives again. Only its own
# role sees and ends a session. One that is in no transaction holds nothing; a pooler may give it to another client.
_END = """
SELECT application_name, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = ANY(%s) AND usename = current_user AND datname = current_database() AND xact_start IS NOT NULL
"""


def session_name(worker_id: UUID) -> str:
    """Return what a worker's sessions are called (`application_name`)."""
    return f"worker {worker_id}"


def end_lost_sessions() -> int:
    """End the sessions of workers whose lease ran out that are inside a transaction; return how many.

    Such a worker is cut off or stands still: its executions are lost, and nothing that it still writes would count.
    """
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_LOST_WORKERS, [lease_seconds(), LOOK_BACK_SECONDS])
        names = [session_name(worker_id) for (worker_id,) in cursor.fetchall()]
    if not names:
        return 0
    # As the login itself: the role behind the door is not that of the sessions.
    with connection.cursor() as cursor:
        cursor.execute(_END, [names])
        ended = [name for name, is_ended in cursor.fetchall() if is_ended]
    if ended:
        signals.sessions_ended.send(None, count=len(ended), workers=sorted(set(ended)))
    return len(ended)
