"""Updates after a pick: virtual times, counts, and ranks of next jobs, at every level of the fair-share tree."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from scheduling.dispatch.claim import Claim, count_messages
from scheduling.dispatch.pick import Picked
from scheduling.dispatch.read import PoolReading
from scheduling.dispatch.wakes import append_wakes
from scheduling.fairness.nodes import KEY_WEIGHT_MILLI, virtual_service
from scheduling.fairness.run_queue import lines_of
from scheduling.fairness.shares import KeyShare, PickResult, ReadRows, TenantShare
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_UPDATE_KEYS = _SQL["update_keys"]
_UPDATE_TENANTS = _SQL["update_tenants"]
_HOLD_FULL = _SQL["hold_full_tenants"]
_UPDATE_CLOCKS = _SQL["update_clocks"]
_CHARGE_QUEUES = _SQL["charge_queues"]
# The parameters of _UPDATE_KEYS and _UPDATE_TENANTS, in the order of `_LineMove.key_row` and `_tenant_row`.
_KEY_COLUMNS = ("ids", "vruntimes", "claimed", "messages", "ranks", "estimates")
_TENANT_COLUMNS = (
    "ids",
    "vruntimes",
    "virtual_times",
    "own_vruntimes",
    "claimed",
    "keys_claimed",
    "messages",
    "keys_messages",
    "own_ranks",
    "estimates",
    "have_room",
    "are_keyed",
)

# Eight of it fit into the column while it is smoothed.
MOST_TICK_US = 60_000_000


type _Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class TickRecord:
    """What one tick read, picked and claimed.

    ``is_whole`` is False for a tick restricted to some entities and one kind. ``began`` is its start by the monotonic
    clock.
    """

    reading: PoolReading
    picked: Picked
    claims: Sequence[Claim]
    is_whole: bool
    began: float

    @property
    def result(self) -> PickResult:
        return self.picked.result

    def next_rank(self, line: TenantShare | KeyShare, read: ReadRows, claimed: int) -> tuple[int | None, bool]:
        """Return the rank of the next job of this tenant or key, and whether it is a guess.

        It is a guess if that job was not read.
        """
        if not self.is_whole or line.entity_id in self.picked.passed_over:
            return line.head_rank, True
        if claimed < len(read.jobs):
            return read.jobs[claimed].rank, False
        if len(read.jobs) < read.asked:
            return None, False
        return (read.jobs[-1].rank if read.jobs else line.head_rank), True


@dataclass(frozen=True, slots=True)
class _LineMove:
    """A line of jobs after the picks. ``rank`` is its next job's, or None; it is a guess if that job was not read."""

    entity_id: int
    vruntime: int
    claimed: int
    messages: int
    rank: int | None
    estimate_us: int | None
    is_guess: bool

    def key_row(self) -> _Row:
        return (self.entity_id, self.vruntime, self.claimed, self.messages, self.rank, self.estimate_us)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """The number of claimed jobs and messages by line."""

    jobs: Counter[int]
    messages: Counter[int]


@dataclass(frozen=True, slots=True)
class _Undone:
    """Service of picks that were not claimed, to be charged to none: by line, tenant's entity and queue."""

    lines: Counter[int]
    tenants: Counter[int]
    queues: Counter[int]


def advance_clocks(pool_id: int, outcome: TickRecord) -> None:
    """Store the virtual times and counts after the picks; picks that were not claimed are not charged.

    After a tick restricted to some entities, only the tenants whose jobs were claimed are charged, and the next tick
    reads their other jobs.
    """
    undone = _undone(outcome)
    _write_entities(pool_id, outcome, undone)
    with prepared_cursor() as cursor:
        if not outcome.is_whole:
            cursor.execute(_CHARGE_QUEUES, _columns(("queues", "services"), _charged_queues(outcome)))
            return
        floors = outcome.reading.floors
        queues = [
            (id_, tags.vruntime - undone.queues[id_], tags.virtual_time, tags.is_backlogged, floors.get(id_))
            for id_, tags in outcome.result.queues.items()
        ]
        columns = _columns(("queues", "vruntimes", "virtual_times", "are_backlogged", "seen"), queues)
        tick_us = min(round(1_000_000 * (time.monotonic() - outcome.began)), MOST_TICK_US)
        pool = {"pool_id": pool_id, "virtual_time": outcome.result.virtual_time, "tick_us": tick_us}
        cursor.execute(_UPDATE_CLOCKS, {**pool, **columns})


def _write_entities(pool_id: int, outcome: TickRecord, undone: _Undone) -> None:
    picks = [claim.pick for claim in outcome.claims]
    room = Counter(outcome.reading.share.tenant_room)
    room.subtract(count_messages(picks, lambda pick: pick.tenant_id))
    claimed = _Claimed(Counter(pick.entity_id for pick in picks), count_messages(picks, lambda pick: pick.entity_id))
    tenants: list[_Row] = []
    keys: list[_Row] = []
    guessed: list[tuple[UUID, int, int, int]] = []
    for queue in outcome.reading.share.queues:
        for tenant in queue.tenants:
            moves = list(_moves(outcome, tenant, claimed, undone))
            has_room = room[tenant.tenant_id] > 0
            if not moves and has_room:
                continue
            tenants.append(_tenant_row(outcome, tenant, moves, undone, has_room=has_room))
            keys += [move.key_row() for move in moves if move.entity_id != tenant.entity_id]
            guessed += [(tenant.tenant_id, move.entity_id, queue.queue_id, 0) for move in moves if move.is_guess]
    with prepared_cursor() as cursor:
        if keys:
            cursor.execute(_UPDATE_KEYS, _columns(_KEY_COLUMNS, keys))
        if tenants:
            cursor.execute(_UPDATE_TENANTS, _columns(_TENANT_COLUMNS, tenants))
        if full := [tenant_id for tenant_id, left in room.items() if left <= 0]:
            cursor.execute(_HOLD_FULL, {"tenants": full, "pool_id": pool_id})
    if guessed:
        append_wakes(guessed)


def _moves(outcome: TickRecord, tenant: TenantShare, claimed: _Claimed, undone: _Undone) -> Iterator[_LineMove]:
    """Yield the tenant's lines that changed."""
    tags = outcome.result.tenants.get(tenant.entity_id)
    for line in lines_of(tenant):
        id_, read = line.entity_id, outcome.picked.rows.get(line.entity_id)
        if read is None:
            continue
        jobs = claimed.jobs[id_]
        rank, is_guess = outcome.next_rank(line, read, jobs)
        if not jobs and rank == line.head_rank:
            continue
        before = tenant.own_vruntime if id_ == tenant.entity_id else line.vruntime
        vruntime = (tags.keys.get(id_, before) if tags else before) - undone.lines[id_]
        estimate = read.jobs[jobs - 1].predicted_us if jobs else None
        yield _LineMove(id_, vruntime, jobs, claimed.messages[id_], rank, estimate, is_guess)


def _tenant_row(
    outcome: TickRecord, tenant: TenantShare, moves: Sequence[_LineMove], undone: _Undone, *, has_room: bool
) -> _Row:
    """Return the row for _UPDATE_TENANTS."""
    own = next((move for move in moves if move.entity_id == tenant.entity_id), None)
    tags = outcome.result.tenants.get(tenant.entity_id)
    claimed, messages = (own.claimed, own.messages) if own else (0, 0)
    own_lines = [line.head_rank for line in lines_of(tenant) if line.entity_id == tenant.entity_id]
    return (
        tenant.entity_id,
        (tags.vruntime if tags else tenant.vruntime) - undone.tenants[tenant.entity_id],
        tags.virtual_time if tags else tenant.virtual_time,
        own.vruntime if own else tenant.own_vruntime,
        claimed,
        sum(move.claimed for move in moves) - claimed,
        messages,
        sum(move.messages for move in moves) - messages,
        own.rank if own else next(iter(own_lines), None),
        next((move.estimate_us for move in reversed(moves) if move.estimate_us is not None), None),
        has_room,
        bool(tenant.keys),
    )


def _undone(outcome: TickRecord) -> _Undone:
    done = {claim.pick.job.job_id for claim in outcome.claims}
    queue_weights = {queue.queue_id: queue.weight_milli for queue in outcome.reading.share.queues}
    weights = {
        tenant.entity_id: tenant.weight_milli for queue in outcome.reading.share.queues for tenant in queue.tenants
    }
    undone = _Undone(Counter(), Counter(), Counter())
    for pick in outcome.result.picks:
        if pick.job.job_id not in done:
            cost_us, entity_id = pick.job.cost_us, pick.tenant_entity_id
            undone.lines[pick.entity_id] += virtual_service(cost_us, KEY_WEIGHT_MILLI)
            undone.tenants[entity_id] += virtual_service(cost_us, weights[entity_id])
            undone.queues[pick.queue_id] += virtual_service(cost_us, queue_weights[pick.queue_id])
    return undone


def _charged_queues(outcome: TickRecord) -> list[_Row]:
    """Return (queue, service) pairs of the claimed jobs."""
    weights = {queue.queue_id: queue.weight_milli for queue in outcome.reading.share.queues}
    service: Counter[int] = Counter()
    for claim in outcome.claims:
        queue_id = claim.pick.queue_id
        service[queue_id] += virtual_service(claim.pick.job.cost_us, weights[queue_id])
    return list(service.items())


def _columns(names: Sequence[str], rows: Sequence[_Row]) -> dict[str, list[object]]:
    """Return the columns of rows by name; empty columns without rows."""
    columns: Iterable[tuple[object, ...]] = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}
