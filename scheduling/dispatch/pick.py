"""The picks of a tick: read the keys and first jobs of the lines that it may take from, pick, and lock the picks.

Jobs that another transaction has locked are skipped: moving a backlog or cancelling very many jobs locks the rows of
waiting jobs for the whole transaction, and a tick that waited for it would delay all tenants.

A gate blocks single jobs of a tenant while its other jobs may start. A tick moves a blocked job to ``job_held`` under
the gate's name, so that it hides no other job, and back in its old order when the gate opens. A job has one gate at a
time: the first of the fragment ``gate_before``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from psycopg.rows import namedtuple_row, scalar_row

from scheduling.conf import MERGE_BELOW_US
from scheduling.controls.queries import controls_at
from scheduling.controls.rules import Checkpoint
from scheduling.controls.starts import hold_failing
from scheduling.dispatch.concurrency_keys import NO_KEYS, KeysReading, read_keys_of
from scheduling.fairness.run_queue import ReadJobs, keys_to_read, pick_fair
from scheduling.fairness.shares import KeyShare, Pick, PickResult, PoolShare, ReadRows, ReadyJob, TenantShare
from scheduling.kit import registry
from scheduling.priority_rules.rules import LINE_JOBS, MOST_SECONDS, Effect, move_by
from tenants.database.prepared import fetch_all, prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_ROWS, _MOVED_ROWS = _SQL["read_rows"], _SQL["read_moved_rows"]
_KEYS_FAIR, _KEYS_FIFO = _SQL["read_keys_fair"], _SQL["read_keys_fifo"]
_LOCK = _SQL["lock_picks"]
_LOCK_WITH_JOBS = _SQL["lock_picks_and_jobs"]

# The most repetitions of a pick in which rows turned out to be locked.
ROUNDS = 4


def memory_gate_parameters() -> str:
    """Return the memory needs of kinds beyond the smallest memory class, as JSON: {kind: MiB}."""
    return json.dumps(registry.memory_needs())


@dataclass(frozen=True, slots=True)
class RowsReading:
    """The ready jobs that were read of each entity.

    ``gated`` has the entities with a job behind a gate, and how many of their jobs were read. ``kept`` are the entities
    with such a job that stayed in the ready table, because another transaction has locked it. ``keys`` are the
    concurrency keys of the jobs.
    """

    rows: Mapping[int, ReadRows]
    gated: Mapping[int, int]
    kept: Collection[int] = ()
    keys: KeysReading = NO_KEYS

    def keeping(self, entity_ids: Collection[int]) -> RowsReading:
        """Return a copy with these entities as ``kept``; the pick then takes no more of their jobs than were read."""
        kept = {id_: replace(self.rows[id_], asked=self.rows[id_].asked + 1) for id_ in entity_ids}
        return replace(self, rows={**self.rows, **kept}, kept=entity_ids) if kept else self


def read_rows(
    wanted: Mapping[int, int],
    *,
    kind: str | None = None,
    slice_us: int | None = None,
    effects: Sequence[Effect] = (),
) -> RowsReading:
    """Return the first ``wanted`` ready jobs of each entity with their predicted costs, by one statement.

    With time slices a job's cost is at most one slice; further ones are charged when they are used. ``effects`` of
    rules move the first jobs of each line.
    """
    if not wanted:
        return RowsReading({}, {})
    jobs: dict[int, list[ReadyJob]] = defaultdict(list)
    hidden: set[int] = set()
    least = LINE_JOBS if effects else 0
    with prepared_cursor(namedtuple_row) as cursor:
        values = {
            "entity_ids": list(wanted),
            "asked": list(wanted.values()),
            "kind": kind,
            "needs": memory_gate_parameters(),
        }
        statement, moves = (_MOVED_ROWS, _effect_parameters(effects)) if effects else (_ROWS, {})
        cursor.execute(statement, values | moves)
        found = cursor.fetchall()
        keyed = [row for row in found if row.concurrency_key is not None and row.gate is None]
        keys = read_keys_of(keyed) if keyed else NO_KEYS
        for row in found:
            if row.gate is not None or row.job_id in keys.over:
                hidden.add(row.entity_id)
                continue
            job = _ready_job(row, slice_us)
            jobs[row.entity_id].append(_moved(job, row, effects) if effects else job)
    return RowsReading(
        # Behind a job that was set aside there may be others: claim no more than was seen.
        rows={
            entity_id: ReadRows(len(jobs[entity_id]) if entity_id in hidden else asked, jobs[entity_id])
            for entity_id, asked in wanted.items()
        },
        # Of a crowded key the jobs of all lines are compared.
        gated={entity_id: max(wanted[entity_id], least) for entity_id in hidden.union(keys.crowded)},
        keys=keys,
    )


def _ready_job(row: Any, slice_us: int | None) -> ReadyJob:
    whole_us = row.predicted_us
    may_merge = whole_us < MERGE_BELOW_US and not row.merge_disabled and registry.is_mergeable(row.kind)
    may_list = not (may_merge or row.merge_disabled or registry.travels_alone(row.kind))
    cost_us = whole_us if slice_us is None else min(whole_us, slice_us)
    return ReadyJob(row.job_id, row.rank, row.kind, cost_us, may_merge, whole_us, may_list)


def _effect_parameters(effects: Sequence[Effect]) -> dict[str, Any]:
    return {
        "numbers": list(range(len(effects))),
        "kinds": [effect.kind for effect in effects],
        "tiers": [effect.tier for effect in effects],
        "tenant_ids": [effect.tenant_id for effect in effects],
        "seconds": [effect.offset_seconds for effect in effects],
        "most_seconds": MOST_SECONDS,
        "line_jobs": LINE_JOBS,
    }


def _moved(job: ReadyJob, row: Any, effects: Sequence[Effect]) -> ReadyJob:
    """Return the job in the place that it has taken, with what moved it."""
    move = move_by([effects[number] for number in row.numbers]) if row.seconds is not None else None
    return job._replace(rank=row.place_rank, own_rank=row.rank, move=move)


def read_keys(
    share: PoolShare, own_lines: Mapping[int, KeyShare | None], only: Collection[int] | None, *, is_fifo: bool
) -> tuple[PoolShare, set[int]]:
    """Return a copy of the share with the keys of the tenants in ``own_lines``, and the keys whose jobs not to read.

    ``own_lines`` maps the entity of each tenant with keys to the node of its jobs without a key, or None if none is
    ready. If there are more keys than the tenant may have turns, the last key read stands for the rest: none of its
    jobs is read.
    """
    if not own_lines:
        return share, set()
    limits = {entity_id: count + 1 for entity_id, count in keys_to_read(share, own_lines).items()}
    keys: dict[int, list[KeyShare]] = defaultdict(list)
    values = {
        "entity_ids": list(limits),
        "limits": list(limits.values()),
        "only": None if only is None else list(only),
    }
    for row in fetch_all(_KEYS_FIFO if is_fifo else _KEYS_FAIR, values):
        keys[row.parent_id].append(
            KeyShare(row.entity_id, row.vruntime, row.in_flight, row.head_rank, row.waiting, row.estimate_us)
        )
    unread = {found[-1].entity_id for entity_id, found in keys.items() if len(found) == limits[entity_id]}

    def with_keys(tenant: TenantShare) -> TenantShare:
        own = own_lines.get(tenant.entity_id)
        lines = [*([own] if own else []), *keys[tenant.entity_id]]
        return replace(tenant, keys=lines) if tenant.entity_id in own_lines else tenant

    queues = [replace(queue, tenants=[with_keys(tenant) for tenant in queue.tenants]) for queue in share.queues]
    return replace(share, queues=queues), unread


@dataclass(frozen=True, slots=True)
class Picked:
    """The result of a pick; ``picks`` are those whose rows are now locked.

    ``rows`` are the jobs that the last round picked from. ``dropped`` are the picks whose jobs another transaction has
    locked. ``passed_over`` are the fair-share nodes of these jobs, whose next job is therefore unknown. ``keys`` are
    the concurrency keys of the jobs.
    """

    result: PickResult
    picks: Sequence[Pick]
    rows: Mapping[int, ReadRows]
    passed_over: Collection[int]
    dropped: Sequence[Pick] = ()
    keys: KeysReading = NO_KEYS

    def without(self, claimed: Collection[UUID | None]) -> Picked:
        """Return a copy in which the nodes of picks that were not claimed are passed over."""
        left = {pick.entity_id for pick in self.picks if pick.job.job_id not in claimed}
        return replace(self, passed_over={*self.passed_over, *left}) if left else self

    @property
    def is_cut_short(self) -> bool:
        """Return whether another pick right now may find more jobs."""
        return self.result.is_cut_short or len(self.picks) < len(self.result.picks)


def pick_and_lock(share: PoolShare, found: RowsReading, *, is_careful: bool = False) -> Picked:
    """Pick jobs in fair order and lock their rows; jobs that another transaction has locked are replaced by others.

    Each round takes one statement. Picks that fail a control of the start are suspended and left out. If
    ``is_careful``, the jobs' rows in the job table must be free too.
    """
    rows, passed_over = dict(found.rows), set(found.kept)
    result = pick_fair(share, ReadJobs(rows))
    locked: set[UUID | None] = set()
    dropped: list[Pick] = []
    for _ in range(ROUNDS):
        locked |= _lock([pick for pick in result.picks if pick.job.job_id not in locked], is_careful=is_careful)
        left = [pick for pick in result.picks if pick.job.job_id not in locked]
        if not left:
            break
        dropped += left
        lost = {pick.job.job_id: pick.entity_id for pick in left}
        passed_over.update(lost.values())
        for entity_id in set(lost.values()):
            # Fewer than were asked for, so that the rest of the line is picked, and then other lines.
            rows[entity_id] = _without(rows[entity_id], lost)
        result = pick_fair(share, ReadJobs(rows))
    picks = [pick for pick in result.picks if pick.job.job_id in locked]
    controls = controls_at(Checkpoint.START) if picks else None
    if controls is not None and (held := hold_failing(picks, controls)):
        passed_over.update(pick.entity_id for pick in picks if pick.job.job_id in held)
        picks = [pick for pick in picks if pick.job.job_id not in held]
    return Picked(result, picks, rows, passed_over, dropped, found.keys)


def _without(read: ReadRows, job_ids: Collection[UUID | None]) -> ReadRows:
    jobs = [job for job in read.jobs if job.job_id not in job_ids]
    return replace(read, asked=max(read.asked, len(jobs) + 1), jobs=jobs)


def _lock(picks: Iterable[Pick], *, is_careful: bool) -> set[UUID]:
    """Return the jobs of these picks that this transaction has locked."""
    wanted = list(picks)
    if not wanted:
        return set()
    values: dict[str, Any] = {
        "entity_ids": [pick.entity_id for pick in wanted],
        "ranks": [pick.job.stored_rank for pick in wanted],
        "job_ids": [pick.job.job_id for pick in wanted],
    }
    return set(fetch_all(_LOCK_WITH_JOBS if is_careful else _LOCK, values, scalar_row))
