"""Records of broker outages in PostgreSQL, from which the wait of jobs is explained."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from scheduling.celery import publishing
from tenants.context import all_tenants
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_NOTE = _SQL["record_broker_outage"]
_NOTE_REFUSAL = _SQL["record_refused_hints"]
_NOTE_REFUSED_QUEUES = _SQL["note_refused_queues"]


def record_broker_outage(pool_ids: Sequence[int]) -> None:
    """Record that this dispatcher cannot publish and does not tick these pools; called again while that lasts."""
    with all_tenants(), prepared_cursor() as cursor:
        cursor.execute(_NOTE, {"pool_ids": list(pool_ids)})


def record_refused_hints(pool_id: int) -> None:
    """Record that the broker refused messages of a tick of this pool.

    The pool is not ticked again before the broker answers.
    """
    with all_tenants(), prepared_cursor() as cursor:
        cursor.execute(_NOTE_REFUSAL, {"fault": publishing.fault_of_last_failure(), "pool_id": pool_id})


def record_refused_republish(queue_names: Collection[str]) -> None:
    """Record that the broker refused messages of these queues that were to be published again."""
    with all_tenants(), prepared_cursor() as cursor:
        values: dict[str, Any] = {"fault": publishing.fault_of_last_failure(), "queues": list(queue_names)}
        cursor.execute(_NOTE_REFUSED_QUEUES, values)
