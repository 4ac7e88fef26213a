"""One tick of one pool, in one transaction; then the hints go out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import OperationalError, transaction

from scheduling import signals, tracing
from scheduling.breakers.state import follow_circuits
from scheduling.conf import BY_INDEX, LOCK_TIMEOUT_MS, MAX_MESSAGE_JOBS, TICK_IDLE_TIMEOUT_MS, TICK_JOBS, WAKE_ROWS
from scheduling.dispatch import broker
from scheduling.dispatch.absence import note_refused_hints
from scheduling.dispatch.claim import (
    Awaited,
    Claim,
    QueueRate,
    awaited_after,
    claim_jobs,
    hints_of,
    is_every_slot_taken,
    limit_rates,
    reserve_capacity,
    spend_rates,
)
from scheduling.dispatch.clocks import Outcome, advance_clocks
from scheduling.dispatch.collect import collect_settled, hold, lead_pool, stage_due, stage_held
from scheduling.dispatch.locked import is_lock_timeout, lock_what_is_free, note_held_capacities, note_locked
from scheduling.dispatch.pick import Picked, pick_and_lock
from scheduling.dispatch.read import PoolReading, read_pool, rows_wanted
from scheduling.dispatch.rows import read_rows
from scheduling.dispatch.slice_charges import charge_slices
from scheduling.dispatch.wakes import fold_wakes
from scheduling.execution import verdicts
from scheduling.execution.settlement import settle
from scheduling.fairness.shares import Pick
from scheduling.kit import registry
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_STOP_TICKS = load_sql(__file__)["stop_ticks"]
_SETTINGS = {
    **BY_INDEX,
    # A process stopped inside the transaction is cut off.
    "idle_in_transaction_session_timeout": str(TICK_IDLE_TIMEOUT_MS),
    # Whoever holds a row of one tenant must not keep all the others waiting.
    "lock_timeout": str(LOCK_TIMEOUT_MS),
    # Nobody is told of a tick but by hints. If the server dies before it is on disk, none of it has been, and the hints
    # lead nowhere; whatever builds on it, a start above all, is behind it in the log and waits for the disk itself.
    "synchronous_commit": "off",
}


@dataclass(frozen=True, slots=True)
class TickResult:
    """What a tick did. ``was_led`` is False when another dispatcher held the pool's lock.

    ``has_more`` says that another tick at once would find work; ``unpublished`` counts jobs
    whose hint the broker did not take and whose claim was undone. ``has_woken_others``: jobs of other pools may start
    by what this tick did. ``awaited`` is what may let a job of this one start that could not now; None where nobody was
    looked at, so that it is what it was.
    """

    was_led: bool
    dispatched: int = 0
    unpublished: int = 0
    has_more: bool = False
    has_woken_others: bool = False
    awaited: Awaited | None = Awaited.EITHER


@dataclass(frozen=True, slots=True)
class _Dispatched:
    """What was claimed, in order, whether another tick at once may find more, and what is awaited if it does not."""

    claims: Sequence[Claim] = ()
    is_cut_short: bool = False
    awaited: Awaited | None = None


@dataclass(frozen=True, slots=True)
class Restriction:
    """A tick for some entities and one kind only: at most ``limit`` jobs."""

    entity_ids: Collection[int]
    kind: str
    limit: int


def run_tick(pool_id: int, *, only: Restriction | None = None, ending: Collection[UUID] = ()) -> TickResult:
    """Dispatch what may run now in ``pool_id``, in fair order, within its free slots.

    The slots of messages with a token of ``ending`` are as good as free: their work is done and is being settled.

    Whoever gets the transaction's lock ticks; nothing is decided from memory kept between
    ticks, so any number of dispatchers may call this.
    """
    # Plug-ins are imported before the transaction, which must not be idle for long.
    registry.memory_needs()
    try:
        return _run_tick(pool_id, only, ending)
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
    # Nothing of the first attempt remains.
    return _run_tick(pool_id, only, ending, is_careful=True)


def _run_tick(
    pool_id: int, only: Restriction | None, ending: Collection[UUID], *, is_careful: bool = False
) -> TickResult:
    """Run one attempt of a tick. A careful one writes the rows of those tenants alone that it could lock at once."""
    began = time.monotonic()
    with all_tenants(_SETTINGS):
        news = lead_pool(pool_id)
        if news is None:
            return TickResult(was_led=False)
        free, has_come_back = lock_what_is_free(pool_id) if is_careful or news.is_anybody_locked else (None, False)
        staged = (stage_due() if news.is_due else 0) + (stage_held() if news.is_held else 0)
        staged += _follow_circuits(free) if news.is_circuit else 0
        has_freed = news.is_settled and collect_settled(pool_id, free)
        if news.is_slice_used:
            charge_slices(pool_id, free)
        woken = fold_wakes(pool_id, free) if news.is_any or has_come_back else 0
        # Jobs may be held whose time has not come, and be of another pool: without a wake nobody has become runnable.
        may_pick = woken > 0 or news.is_anybody_runnable
        done = _dispatch(pool_id, only, ending, free) if may_pick else _Dispatched()
    unpublished = _publish(pool_id, done.claims)
    dispatched = len(done.claims) - unpublished
    if done.claims:
        signals.jobs_dispatched.send(None, pool_id=pool_id, count=dispatched, seconds=time.monotonic() - began)
    has_more = bool(staged) or woken >= WAKE_ROWS or done.is_cut_short or len(done.claims) >= TICK_JOBS
    # Asked when the lock is free again: what comes later is not left for this tick.
    has_more = broker.take_late_wake(pool_id) or has_more
    return TickResult(
        was_led=True,
        dispatched=dispatched,
        unpublished=unpublished,
        has_more=has_more,
        # What was staged may be any pool's, and so may the wakes that a circuit writes.
        has_woken_others=bool(staged) or has_freed,
        awaited=Awaited.EITHER if unpublished else done.awaited,
    )


def stop_ticks(pool_ids: Sequence[int]) -> None:
    """Wait for the ticks of these pools that run, and let none begin before this transaction commits."""
    with prepared_cursor() as cursor:
        cursor.execute(_STOP_TICKS, {"tick_lock": LockClass.TICK.value, "pool_ids": list(pool_ids)})


def _follow_circuits(free: list[UUID] | None) -> int:
    """Follow circuits; a careful tick goes on without them if a breaker or a job behind one is held."""
    if free is None:
        return follow_circuits()
    try:
        with transaction.atomic():
            return follow_circuits(free)
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
        return 0


def _dispatch(pool_id: int, only: Restriction | None, ending: Collection[UUID], free: list[UUID] | None) -> _Dispatched:
    """Pick and claim."""
    reading, rates, picked = _pick(pool_id, only, ending, free, is_wide=False)
    if (picked.passed_over and not is_every_slot_taken(reading, picked.picks)) or _could_carry_more(
        reading, picked.picks
    ):
        # Others stand behind those that were read, so as many are read as a tick ever does.
        reading, rates, picked = _pick(pool_id, only, ending, free, is_wide=True)
    if not picked.rows:
        return _Dispatched(awaited=_awaited(only, reading, []))
    picks = reserve_capacity(picked.picks) if picked.picks else []
    _note_held(pool_id, picked, picks, is_careful=free is not None)
    claims = claim_jobs(pool_id, reading, picks) if picks else []
    spend_rates(rates, claims)
    advance_clocks(pool_id, Outcome(reading, picked, claims, is_whole=only is None))
    # Whose capacity another pool's tick is just taking is picked again at once.
    is_cut_short = picked.is_cut_short or len(picks) < len(picked.picks)
    is_cut_short = is_cut_short or (only is None and _may_hide_others(reading, picked, claims))
    return _Dispatched(claims, is_cut_short, _awaited(only, reading, claims))


def _note_held(pool_id: int, picked: Picked, reserved: Sequence[Pick], *, is_careful: bool) -> None:
    """Note whose capacity could not be taken, and of whom jobs were passed over by a tick that is careful already."""
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
    """Read and pick, behind the caps and rates of this moment."""
    reading = read_pool(
        pool_id,
        limit=only.limit if only else TICK_JOBS,
        only_entities=only.entity_ids if only else None,
        ending=ending,
        is_wide=is_wide,
        free=free,
    )
    reading, rates = limit_rates(reading)
    found = read_rows(rows_wanted(reading), kind=only.kind if only else None, slice_us=reading.slice_us)
    found = found.keeping(hold(pool_id, found.gated))
    return reading, rates, pick_and_lock(reading.share, found, is_careful=free is not None)


def _awaited(only: Restriction | None, reading: PoolReading, claims: Sequence[Claim]) -> Awaited:
    """What is awaited; whoever looked at some alone cannot tell."""
    return awaited_after(reading, claims) if only is None else Awaited.EITHER


def _could_carry_more(reading: PoolReading, picks: Sequence[Pick]) -> bool:
    """Whether small jobs were picked of a queue of which no more were read than there are slots, or too few."""
    most = min(TICK_JOBS, reading.share.room * MAX_MESSAGE_JOBS)
    picked = Counter(pick.queue_id for pick in picks)
    small = {pick.queue_id for pick in picks if pick.job.may_merge}
    return any(
        queue.has_more and queue.queue_id in small and picked[queue.queue_id] >= len(queue.tenants) < most
        for queue in reading.share.queues
    )


def _may_hide_others(reading: PoolReading, picked: Picked, claims: Sequence[Claim]) -> bool:
    """Whether slots are left while somebody was read who could take none, and before whom others were not read.

    Whoever was full already, which another pool's tick may just have brought about, or had no job any more, is not
    runnable after this tick, so each look that this asks for finds fewer of them.
    """
    if is_every_slot_taken(reading, [claim.pick for claim in claims]):
        return False
    is_anybody_full = any(room <= 0 for room in reading.share.tenant_room.values())
    return is_anybody_full or any(
        not read.jobs for entity_id, read in picked.rows.items() if entity_id not in picked.passed_over
    )


def _publish(pool_id: int, claims: Sequence[Claim]) -> int:
    """Send the hints; undo the claims whose hints did not go out, and say how many."""
    if not claims:
        return 0
    # A tick serves many traces, so its span belongs to none of them and links to all.
    links = [claim.traceparent for claim in claims if claim.traceparent]
    with tracing.span("job.dispatch", links=links, pool_id=pool_id, jobs=len(claims)):
        hints = broker.publish(hints_of(claims))
        unsent = {execution_id for hint in hints for execution_id in hint.execution_ids}
    if not unsent:
        return 0
    settle([verdicts.unpublished(claim.execution_id, claim.fence) for claim in claims if claim.execution_id in unsent])
    note_refused_hints(pool_id)
    signals.dispatch_undone.send(None, pool_id=pool_id, count=len(unsent))
    return len(unsent)
