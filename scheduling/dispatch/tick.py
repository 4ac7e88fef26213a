"""One tick of one pool: it claims jobs in one transaction, and publishes their messages afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import OperationalError, transaction

from scheduling import signals, tracing
from scheduling.breakers.state import update_circuits
from scheduling.celery import publishing
from scheduling.conf import BY_INDEX, LOCK_TIMEOUT_MS, MAX_MESSAGE_JOBS, TICK_IDLE_TIMEOUT_MS, TICK_JOBS, WAKE_ROWS
from scheduling.dispatch import broker
from scheduling.dispatch.broker_faults import record_refused_hints
from scheduling.dispatch.claim import (
    Claim,
    NextTickTrigger,
    QueueRate,
    claim_jobs,
    hints_of,
    is_every_slot_taken,
    limit_rates,
    next_tick_trigger,
    reserve_capacity,
    spend_rates,
)
from scheduling.dispatch.clocks import TickRecord, advance_clocks
from scheduling.dispatch.collect import collect_settled, fold_wakes, hold_refused_rows, lead_pool, stage_due, stage_held
from scheduling.dispatch.concurrency_keys import admit_jobs
from scheduling.dispatch.locked import is_lock_timeout, lock_what_is_free, note_held_capacities, note_locked
from scheduling.dispatch.memory_room import within_memory
from scheduling.dispatch.pick import Picked, pick_and_lock, read_rows
from scheduling.dispatch.read import PoolReading, read_pool, rows_wanted
from scheduling.dispatch.slice_charges import charge_slices
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import settle
from scheduling.fairness.shares import Pick
from scheduling.kit import registry
from scheduling.priority_rules.acting import acting_effects
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_STOP_TICKS = load_sql(__file__)["stop_ticks"]
TICK_SETTINGS = {
    **BY_INDEX,
    # Ends the session of a process that stalls inside the transaction.
    "idle_in_transaction_session_timeout": str(TICK_IDLE_TIMEOUT_MS),
    # A lock on a row of one tenant must not delay all the others.
    "lock_timeout": str(LOCK_TIMEOUT_MS),
    # The result of a tick is announced only by messages. If the server dies before the commit is on disk, none was
    # sent, or they refer to lost rows. Later transactions that depend on the tick, above all a start, follow it in the
    # log and wait for the disk themselves.
    "synchronous_commit": "off",
}


@dataclass(frozen=True, slots=True)
class TickResult:
    """The result of a tick. ``was_led`` is False if another dispatcher held the pool's lock.

    ``has_more``: another tick at once would find work. ``unpublished`` counts jobs whose message the broker did not
    accept and whose claim was undone. ``has_woken_others``: jobs of other pools may start because of this tick.
    ``awaited``: the events that may let another job start; None if the tick looked at no tenant, so that the value of
    the last tick still holds. ``has_held``: executions of the pool's lists waited for their turn in workers;
    ``has_lists``: they did, or will after this tick. ``has_arrivals``: jobs became available, or a breaker moved.
    """

    was_led: bool
    dispatched: int = 0
    unpublished: int = 0
    has_more: bool = False
    has_woken_others: bool = False
    awaited: NextTickTrigger | None = NextTickTrigger.EITHER
    has_held: bool = False
    has_lists: bool = False
    has_arrivals: bool = False


@dataclass(frozen=True, slots=True)
class _Dispatched:
    """The claims in order, whether another tick at once may find more, and what is awaited if it does not."""

    claims: Sequence[Claim] = ()
    is_cut_short: bool = False
    awaited: NextTickTrigger | None = None


@dataclass(frozen=True, slots=True)
class Restriction:
    """A restriction of a tick to some entities, one kind, and at most ``limit`` jobs."""

    entity_ids: Collection[int]
    kind: str
    limit: int


def run_tick(pool_id: int, *, only: Restriction | None = None, ending: Collection[UUID] = ()) -> TickResult:
    """Dispatch the jobs of ``pool_id`` that may run now, in fair order, within its free slots.

    The slots of messages with a token in ``ending`` count as free: their work is done and is being settled. Only one
    process at a time ticks a pool: the one that gets its lock. No decision depends on memory kept between ticks, so any
    number of dispatchers may call this.
    """
    # Import plug-ins before the transaction, which must not idle.
    registry.memory_needs()
    try:
        return _run_tick(pool_id, only, ending)
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
    # The first attempt is rolled back.
    return _run_tick(pool_id, only, ending, is_careful=True)


def _run_tick(
    pool_id: int, only: Restriction | None, ending: Collection[UUID], *, is_careful: bool = False
) -> TickResult:
    """Run one attempt of a tick. A careful one writes only rows of tenants that it could lock at once."""
    began = time.monotonic()
    with all_tenants(TICK_SETTINGS):
        news = lead_pool(pool_id)
        if news is None:
            return TickResult(was_led=False)
        free, has_come_back = lock_what_is_free(pool_id) if is_careful or news.is_anybody_locked else (None, False)
        staged = (stage_due() if news.is_due else 0) + (stage_held() if news.is_held else 0)
        staged += _follow_circuits(free) if news.is_circuit else 0
        has_freed = news.is_settled and collect_settled(pool_id, free)
        if news.is_slice_used:
            charge_slices(pool_id, free)
        has_admitted_others = news.is_key_news and admit_jobs(pool_id)
        woken = fold_wakes(pool_id, free) if news.is_any or has_come_back else 0
        # Held jobs may not be due, and belong to another pool: without a wake no tenant has become runnable.
        may_pick = woken > 0 or news.is_anybody_runnable
        done = _dispatch(pool_id, only, ending, free, began) if may_pick else _Dispatched()
    unpublished = _publish(pool_id, done.claims)
    dispatched = len(done.claims) - unpublished
    if done.claims:
        signals.jobs_dispatched.send(None, pool_id=pool_id, count=dispatched, seconds=time.monotonic() - began)
    has_more = bool(staged) or woken >= WAKE_ROWS or done.is_cut_short or len(done.claims) >= TICK_JOBS
    # Read after the lock is free again: later wakes are not left for this tick.
    has_more = broker.pop_repeated_tick(pool_id) or has_more
    return TickResult(
        was_led=True,
        dispatched=dispatched,
        unpublished=unpublished,
        has_more=has_more,
        # Staged jobs may belong to any pool, and so may the wakes of a circuit breaker.
        has_woken_others=bool(staged) or has_freed or has_admitted_others,
        # The end of a job lets another of its concurrency key start, however many slots are free.
        awaited=NextTickTrigger.EITHER if unpublished or news.is_keyed_waiting else done.awaited,
        has_held=news.has_held,
        has_lists=news.has_held or _has_list(done.claims),
        has_arrivals=woken > 0 or news.is_circuit,
    )


def stop_ticks(pool_ids: Sequence[int]) -> None:
    """Wait for the running ticks of these pools, and block new ones until this transaction ends."""
    with prepared_cursor() as cursor:
        cursor.execute(_STOP_TICKS, {"tick_lock": LockClass.TICK.value, "pool_ids": list(pool_ids)})


def _follow_circuits(free: list[UUID] | None) -> int:
    """Move circuit breakers; a careful tick continues without if a breaker or a job behind one is locked."""
    if free is None:
        return update_circuits()
    try:
        with transaction.atomic():
            return update_circuits(free)
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
        return 0


def _dispatch(
    pool_id: int, only: Restriction | None, ending: Collection[UUID], free: list[UUID] | None, began: float
) -> _Dispatched:
    """Pick and claim jobs."""
    reading, rates, picked = _pick(pool_id, only, ending, free, is_wide=False)
    if (picked.passed_over and not is_every_slot_taken(reading, picked.picks)) or _could_carry_more(
        reading, picked.picks
    ):
        # Other tenants queue behind those that were read, so read as many as a tick ever does.
        reading, rates, picked = _pick(pool_id, only, ending, free, is_wide=True)
    if not picked.rows:
        return _Dispatched(awaited=_awaited(only, reading, picked, []))
    picks = reserve_capacity(pool_id, reading, picked.picks) if picked.picks else []
    _note_held(pool_id, picked, picks, is_careful=free is not None)
    claims = claim_jobs(pool_id, reading, picks, picked.keys) if picks else []
    if len(claims) < len(picks):
        picked = picked.without({claim.pick.job.job_id for claim in claims})
    spend_rates(rates, claims)
    advance_clocks(pool_id, TickRecord(reading, picked, claims, only is None, began))
    # A tenant or a key whose capacity another pool's tick is just taking is picked again at once.
    is_cut_short = picked.is_cut_short or len(claims) < len(picked.picks)
    is_cut_short = is_cut_short or (only is None and _may_hide_others(reading, picked, claims))
    return _Dispatched(claims, is_cut_short, _awaited(only, reading, picked, claims))


def _note_held(pool_id: int, picked: Picked, reserved: Sequence[Pick], *, is_careful: bool) -> None:
    """Record tenants whose capacity was locked, and, in a careful tick, those of which jobs were passed over."""
    if len(reserved) < len(picked.picks):
        kept = {pick.tenant_id for pick in reserved}
        note_held_capacities(pool_id, {pick.tenant_id for pick in picked.picks} - kept)
    if is_careful and (passed := {pick.tenant_id for pick in picked.dropped}):
        note_locked(pool_id, dict.fromkeys(passed), is_whole=False)


def _pick(
    pool_id: int,
    only: Restriction | None,
    ending: Collection[UUID],
    free: list[UUID] | None,
    *,
    is_wide: bool,
) -> tuple[PoolReading, Mapping[int, QueueRate], Picked]:
    """Read the pool and pick jobs, within the caps and rates of this moment."""
    reading = read_pool(
        pool_id,
        limit=only.limit if only else TICK_JOBS,
        only_entities=only.entity_ids if only else None,
        ending=ending,
        is_wide=is_wide,
        free=free,
    )
    reading, rates = limit_rates(reading)
    wanted, kind, effects = rows_wanted(reading), only.kind if only else None, acting_effects(pool_id)
    found = read_rows(wanted, kind=kind, slice_us=reading.slice_us, effects=effects)
    found = found.keeping(hold_refused_rows(pool_id, found.gated))
    share, found = within_memory(reading, found) if reading.has_memory_limits else (reading.share, found)
    return reading, rates, pick_and_lock(share, found, is_careful=free is not None)


def _awaited(
    only: Restriction | None, reading: PoolReading, picked: Picked, claims: Sequence[Claim]
) -> NextTickTrigger:
    """Return what is awaited; EITHER after a restricted tick, and if jobs were set aside for a concurrency key."""
    is_known = only is None and not picked.keys.over
    return next_tick_trigger(reading, claims) if is_known else NextTickTrigger.EITHER


def _could_carry_more(reading: PoolReading, picks: Sequence[Pick]) -> bool:
    """Return whether small jobs were picked of a queue of which too few tenants were read to fill the messages."""
    most = min(TICK_JOBS, reading.share.room * MAX_MESSAGE_JOBS)
    picked = Counter(pick.queue_id for pick in picks)
    small = {pick.queue_id for pick in picks if pick.job.may_merge}
    return any(
        queue.has_more and queue.queue_id in small and picked[queue.queue_id] >= len(queue.tenants) < most
        for queue in reading.share.queues
    )


def _may_hide_others(reading: PoolReading, picked: Picked, claims: Sequence[Claim]) -> bool:
    """Return whether slots are left while unservable tenants were read that may have hidden others.

    A tenant that was already full, as another pool's tick may just have caused, or that had no job left, is not
    runnable after this tick. So each further tick finds fewer of them.
    """
    if is_every_slot_taken(reading, [claim.pick for claim in claims]):
        return False
    is_anybody_full = any(room <= 0 for room in reading.share.tenant_room.values())
    return is_anybody_full or any(
        not read.jobs for entity_id, read in picked.rows.items() if entity_id not in picked.passed_over
    )


def _has_list(claims: Sequence[Claim]) -> bool:
    """Return whether some of the claims are in a list with others."""
    listed = [claim.message_id for claim in claims if not claim.pick.job.may_merge]
    return len(set(listed)) < len(listed)


def _publish(pool_id: int, claims: Sequence[Claim]) -> int:
    """Publish the messages, undo the claims of those that were refused, and return the number of these claims."""
    if not claims:
        return 0
    # A tick serves many traces, so its span belongs to none of them and links to all.
    links = [claim.traceparent for claim in claims if claim.traceparent]
    with tracing.span("job.dispatch", links=links, pool_id=pool_id, jobs=len(claims)):
        hints = publishing.publish(hints_of(claims))
        unsent = {execution_id for hint in hints for execution_id in hint.execution_ids}
    if not unsent:
        return 0
    settle(
        [
            settlement_builders.unpublished(claim.execution_id, claim.fence)
            for claim in claims
            if claim.execution_id in unsent
        ]
    )
    record_refused_hints(pool_id)
    signals.dispatch_undone.send(None, pool_id=pool_id, count=len(unsent))
    return len(unsent)
