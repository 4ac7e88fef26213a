"""Moves of waiting jobs to other queues, for reroutes and for bulk operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from psycopg.rows import class_row, scalar_row

from scheduling import signals
from scheduling.dispatch.broker import wake_on_commit
from scheduling.jobs.storing import actor_label
from tenants.context import current_actor
from tenants.database.ids import uuid7s
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_FIND_PLACES = _SQL["find_places"]
# In this order and as separate statements: each reads the rows that the previous one inserted.
_PUT_LINES = (_SQL["hold_lines"], _SQL["insert_tenant_nodes"], _SQL["insert_key_nodes"])
# Parts of the backlog: a waiting job has a row in one of the first three, a suspended one in none.
TABLES = ("ready", "due", "held", "suspended")
_MOVE = {table: _SQL[f"move_{table}"] for table in TABLES}


@dataclass(frozen=True, slots=True)
class WaitingPosition:
    """Queue entry of a waiting job: its queue, its node in the queue's fair-share tree, and its rank there."""

    job_id: UUID
    queue_id: int
    entity_id: int
    rank: int


def move_jobs(targets: Mapping[UUID, int], *, reason: str) -> dict[UUID, int]:
    """Move waiting and suspended jobs to these queues; return the former queue ids of the moved jobs.

    Skip jobs that are in their target queue already, that another transaction has locked, that no longer wait, or that
    are not in the current tenant context.
    """
    if not targets:
        return {}
    places: list[WaitingPosition] = fetch_all(_FIND_PLACES, {"job_ids": list(targets)}, class_row(WaitingPosition))
    wanted = [(place, targets[place.job_id]) for place in places if place.queue_id != targets[place.job_id]]
    moved = move_places(wanted, TABLES, cause=reason)
    if moved:
        announce_moves(len(moved))
    return {place.job_id: place.queue_id for place, _ in wanted if place.job_id in moved}


def move_places(wanted: Sequence[tuple[WaitingPosition, int]], tables: Iterable[str], *, cause: str) -> set[UUID]:
    """Move jobs with these queue entries in ``tables``, each to the given queue; return the ids of the moved jobs.

    Jobs whose queue entry has changed are skipped.
    """
    if not wanted:
        return set()
    parameters: dict[str, Any] = {
        "job_ids": [place.job_id for place, _ in wanted],
        "entity_ids": [place.entity_id for place, _ in wanted],
        "ranks": [place.rank for place, _ in wanted],
        "queue_ids": [queue_id for _, queue_id in wanted],
        "event_ids": uuid7s(len(wanted)),
        "cause": cause,
        "actor": actor_label(current_actor()),
        "lines_lock": LockClass.LINES.value,
    }
    moved: set[UUID] = set()
    for statement in _PUT_LINES:
        execute(statement, parameters)
    for table in tables:
        moved.update(fetch_all(_MOVE[table], parameters, scalar_row))
    return moved


def announce_moves(count: int) -> None:
    """Wake the dispatcher and send the signal about ``count`` moved jobs when the transaction commits."""
    wake_on_commit()
    facts = {"event": "job.moved", "state": "", "count": count}
    transaction.on_commit(lambda: signals.waiting_jobs_moved.send(None, **facts))
