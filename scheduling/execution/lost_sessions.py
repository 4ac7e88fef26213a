"""Ending of database sessions that lost workers left behind, so that their locks are released at once."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import scalar_row

from scheduling import signals
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

# A worker that was lost longer ago has no relevant session left.
LOOK_BACK_SECONDS = 600.0
# A younger transaction may be the heartbeat by which the worker returns: over a slow link it takes a second or more.
GRACE_SECONDS = 5.0
_SQL = load_sql(__file__)
_LOST_WORKERS = _SQL["find_lost_workers"]
_END = _SQL["end_sessions"]


def session_name(worker_id: UUID) -> str:
    """Return the `application_name` of the database sessions of a worker."""
    return f"worker {worker_id}"


def end_lost_sessions() -> int:
    """End the database sessions of workers with an expired lease that have been in a transaction for GRACE_SECONDS.

    Return how many. Such a worker is disconnected or stalled: its executions are lost, and its further writes would
    not count.
    """
    values = {"lease_seconds": platform_settings.LEASE_SECONDS, "look_back_seconds": LOOK_BACK_SECONDS}
    with all_tenants():
        names = [session_name(worker_id) for worker_id in fetch_all(_LOST_WORKERS, values, scalar_row)]
    if not names:
        return 0
    # Under the login role: the cross-tenant role does not own the sessions.
    ended = [
        row.application_name
        for row in fetch_all(_END, {"names": names, "grace_seconds": GRACE_SECONDS})
        if row.is_ended
    ]
    if ended:
        signals.sessions_ended.send(None, count=len(ended), workers=sorted(set(ended)))
    return len(ended)
