"""Moving what waits to the queues that routing names by now: in turns, resumable, while everything goes on.

A turn is one transaction: it looks at some waiting jobs from where the last one stopped, moves those that belong
elsewhere by set statements, and writes down how far it came. Killed anywhere, the next turn goes on from there. A
waiting row is locked before its job's row, as everybody does; one that somebody else holds is left for the next pass.
What is dispatched or runs stays in its queue.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling import signals
from scheduling.models import BacklogMove, Job, Queue
from scheduling.services.backlog_sql import LOOK, MOVE, PUT_LINES, REQUEST
from scheduling.services.leadership import lead
from scheduling.services.routing import Routes
from scheduling.services.wakes import wake_on_commit
from tenants.clock import read_clock
from tenants.context import all_tenants
from tenants.encryption.fields import open_readable_rows
from tenants.ids import uuid7, uuid7s
from tenants.locks import LockClass
from tenants.services.audit import AuditTarget, record_audit
from tenants.services.pausing import actor_words, require_reason

# Of one statement, and of one turn.
MOVE_ROWS = 2_000
LOOK_ROWS = 5_000
# With their payloads, which may be large.
PAYLOAD_ROWS = 200
TURN_SECONDS = 0.1
# Whoever was submitting by the old routes when the move was asked for has committed by then.
SETTLE_SECONDS = 5.0
IDLE_SECONDS = 0.25
_PHASES = list(BacklogMove.Phase)
_OF_READY = (BacklogMove.Phase.READY, BacklogMove.Phase.READY_AGAIN)
# Before every row, in the order of the key by which a table is looked at.
_BEGINNING = (0, -(2**63), str(UUID(int=0)))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job as a turn finds it, whether it waits, and the queue where it belongs."""

    job_id: UUID
    kind: str
    tier_id: str
    queue_id: int
    entity_id: int
    rank: int
    is_waiting: bool

    def cursor(self, phase: str) -> list[Any]:
        """What the next turn goes on after."""
        return [self.entity_id, self.rank, str(self.job_id)] if phase in _OF_READY else [str(self.job_id)]


def request_move(*, cause: str) -> None:
    """Have the backlog moved from the commit of this transaction on; an open move begins anew. Behind the door."""
    with connection.cursor() as cursor:
        cursor.execute(REQUEST, {"id": uuid7(), "cause": cause[:200], "actor": actor_words()})
    wake_on_commit()


def move_backlog(*, reason: str) -> BacklogMove:
    """Move what waits to where the rules send it by now: rules that were edited count for new jobs only, till then."""
    reason = require_reason(reason, max_length=200)
    with all_tenants():
        request_move(cause=reason)
        move = BacklogMove.objects.get(is_open=True)
        record_audit(
            action="backlog.move_requested",
            target=AuditTarget("scheduling.backlogmove", str(move.pk)),
            after={"cause": reason},
            reason=reason,
        )
    return move


class BacklogMover:
    """The duty of a dispatcher: a turn now and then, and one after another while they find something to move."""

    def __init__(self) -> None:
        self._is_busy = False

    def interval_seconds(self) -> float:
        """Until the next turn; none while there is work, so that turns and ticks alternate."""
        return 0.0 if self._is_busy else IDLE_SECONDS

    def take_turn(self) -> int:
        """A turn; how many jobs moved."""
        self._is_busy = False
        moved = move_turn()
        self._is_busy = moved > 0
        return moved


def move_turn() -> int:
    """A turn of the open move, if there is one; how many jobs moved. Of many dispatchers one does it."""
    with all_tenants():
        if not lead(LockClass.BACKLOG_MOVE):
            return 0
        # An edit that asks for it anew may be open for long; the dispatcher does not wait for it.
        move = BacklogMove.objects.select_for_update(no_key=True, skip_locked=True).filter(is_open=True).first()
        if move is None:
            return 0
        moved = _take_turn(move)
        move.save()
        if moved:
            # The next turn at once, and a tick that sees the jobs in their new place.
            wake_on_commit()
            signals.waiting_jobs_moved.send(None, event="job.moved", state="", count=moved)
    return moved


def _take_turn(move: BacklogMove) -> int:
    now, until = read_clock(), time.monotonic() + TURN_SECONDS
    if move.pass_began_at is None:
        if move.passes and now < move.requested_at + timedelta(seconds=SETTLE_SECONDS):
            return 0
        move.pass_began_at, move.found_in_pass = now, 0
    routes = Routes.load_all()
    moved = _take_step(move, routes)
    while not moved and move.pass_began_at is not None and time.monotonic() < until:
        moved = _take_step(move, routes)
    move.moved += moved
    return moved


def _take_step(move: BacklogMove, routes: Mapping[str, Routes]) -> int:
    """Look at the next rows and move those that belong elsewhere, or go on to the next table."""
    reads_payloads = any(rule.condition for route in routes.values() for rule in route.rules)
    rows = _look(move, is_narrow=reads_payloads)
    if not rows:
        _end_phase(move)
        return 0
    payloads = _read_payloads(rows, routes) if reads_payloads else {}
    wanted: list[tuple[Waiting, int]] = []
    for row in rows:
        target = _better_queue(row, routes, payloads.get(row.job_id, {}))
        if target is not None:
            wanted.append((row, target.pk))
        move.cursor = row.cursor(move.phase)
        move.looked_at += row.is_waiting
        if len(wanted) == MOVE_ROWS:
            break
    move.found_in_pass += len(wanted)
    return _move(move, wanted) if wanted else 0


def _better_queue(row: Waiting, routes: Mapping[str, Routes], payload: Mapping[str, Any] | None) -> Queue | None:
    # A job whose payload cannot be opened here stays where it is.
    if not row.is_waiting or row.tier_id not in routes or payload is None:
        return None
    return routes[row.tier_id].better_queue(row.kind, payload, row.queue_id)


def _look(move: BacklogMove, *, is_narrow: bool) -> list[Waiting]:
    """The next rows, few of them where their payloads must be read too."""
    names = ("after_entity", "after_rank", "after_job") if move.phase in _OF_READY else ("after_job",)
    after = dict(zip(names, move.cursor or _BEGINNING[-len(names) :], strict=True))
    limit = PAYLOAD_ROWS if is_narrow and move.phase != "suspended" else LOOK_ROWS
    with connection.cursor() as cursor:
        cursor.execute(LOOK[move.phase], {**after, "limit": limit})
        rows = [Waiting(*row) for row in cursor.fetchall()]
    return rows[:PAYLOAD_ROWS] if is_narrow else rows


def _read_payloads(rows: Sequence[Waiting], routes: Mapping[str, Routes]) -> Mapping[UUID, Any]:
    asked = [
        row.job_id
        for row in rows
        if row.is_waiting and row.tier_id in routes and routes[row.tier_id].depends_on_payload(row.kind)
    ]
    if not asked:
        return {}
    rows_with_payloads = Job.objects.filter(pk__in=asked).values_list("pk", "tenant_id", "payload")
    return dict.fromkeys(asked) | dict(open_readable_rows(Job, "payload", rows_with_payloads))


def _move(move: BacklogMove, wanted: Sequence[tuple[Waiting, int]]) -> int:
    parameters: dict[str, Any] = {
        "job_ids": [row.job_id for row, _ in wanted],
        "entity_ids": [row.entity_id for row, _ in wanted],
        "ranks": [row.rank for row, _ in wanted],
        "queue_ids": [queue_id for _, queue_id in wanted],
        "event_ids": uuid7s(len(wanted)),
        "cause": move.cause,
        "actor": move.requested_by,
    }
    with connection.cursor() as cursor:
        for statement in PUT_LINES:
            cursor.execute(statement, parameters)
        cursor.execute(MOVE[move.phase], parameters)
        return len(cursor.fetchall())


def _end_phase(move: BacklogMove) -> None:
    position = _PHASES.index(BacklogMove.Phase(move.phase)) + 1
    move.cursor = []
    if position < len(_PHASES):
        move.phase = _PHASES[position]
        return
    move.phase, move.passes = _PHASES[0], move.passes + 1
    assert move.pass_began_at is not None
    is_settled = move.pass_began_at >= move.requested_at + timedelta(seconds=SETTLE_SECONDS)
    move.pass_began_at = None
    if is_settled and not move.found_in_pass:
        move.is_open, move.finished_at = False, read_clock()
