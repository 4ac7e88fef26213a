"""When each pool is to be ticked: at once if an event may let a job start, otherwise at regular intervals."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from scheduling.dispatch.broker import DispatchSignals
from scheduling.dispatch.claim import NextTickTrigger
from scheduling.dispatch.tick import TickResult

# Jobs that arrive within this time after a tick looked for new ones are dispatched together, since a tick costs as much
# as some jobs. A slot for which a job waits wakes at once; if none waits, ends are folded with them.
MORE_WORK_SECONDS = 0.03
# Jobs that arrive while every slot is taken are folded for the counts of waiting jobs only.
NO_SLOT_SECONDS = 0.1
# Lists are compared with what waits at most so often after news, and so often without.
AFTER_NEWS_SECONDS, TAKE_BACK_SECONDS = 0.01, 0.25
# If lists are in the slots, a job that arrives may precede what waits in them.
FULL_OF_LISTS_SECONDS = 0.005


class PoolsDue:
    """The times at which pools are to be ticked, in seconds of one clock.

    No pool waits longer than ``interval_seconds``, whatever signals are lost.
    """

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._pool_of_queue: Mapping[str, int] = {}
        self._due_at: dict[int, float] = {}
        # Pools with news since their last tick; pools to which jobs came, and when a tick last looked for such.
        self._heard: set[int] = set()
        self._filled: set[int] = set()
        self._filled_at: dict[int, float] = {}
        # The events that each pool's last tick awaits.
        self._awaited: dict[int, NextTickTrigger] = {}
        self._with_lists: set[int] = set()
        # Pools of which the last tick that counted announced ends left no slot free.
        self._refilled: set[int] = set()
        # Pools in which a job came, or something was stopped, since their lists were compared with what waits.
        self._changed: set[int] = set()
        self._compared_at: dict[int, float] = {}

    @property
    def has_pending_signals(self) -> bool:
        """Return whether signals came after which no pool was ticked yet."""
        return bool(self._heard)

    def know(self, pool_ids: Iterable[int], pool_of_queue: Mapping[str, int]) -> None:
        """Set the existing pools by id, and the pool of each queue by name; new pools are due at once."""
        self._pool_of_queue = pool_of_queue
        self._due_at = {pool_id: self._due_at.get(pool_id, 0.0) for pool_id in pool_ids}

    def apply_signals(self, news: DispatchSignals, now: float) -> None:
        """Make the pools due that the signals concern.

        A signal for everything, or for an unknown queue, concerns every pool.
        """
        if news.is_everything:
            self._heard.update(self._due_at)
            self._changed.update(self._due_at)
            self._be_due(self._due_at, now)
        changed, filled, ended = (self._pools_of(names) for names in (news.queues, news.filled, news.ended))
        self._heard.update(changed, filled, ended)
        for pool_id in changed:
            at = (
                self._after(pool_id, MORE_WORK_SECONDS, now)
                if self._awaited.get(pool_id) is NextTickTrigger.JOBS
                else now
            )
            self._be_due([pool_id], at)
        for pool_id in ended:
            # The slot has its next message already: the end is folded by the tick for the next announcement, if it
            # comes soon.
            self._be_due([pool_id], now + MORE_WORK_SECONDS if pool_id in self._refilled else now)
        for pool_id in filled:
            self._filled.add(pool_id)
            self._changed.add(pool_id)
            seconds = MORE_WORK_SECONDS
            if self._awaited.get(pool_id) is NextTickTrigger.ENDS:
                seconds = FULL_OF_LISTS_SECONDS if pool_id in self._with_lists else NO_SLOT_SECONDS
            self._be_due([pool_id], self._after(pool_id, seconds, now))

    def take(self, now: float) -> dict[int, bool]:
        """Return the pools to tick now, each with whether it was signalled.

        They are due again after the interval.
        """
        due = {pool_id: pool_id in self._heard for pool_id, due_at in self._due_at.items() if due_at <= now}
        for pool_id in due:
            self._due_at[pool_id] = now + self._interval_seconds
            if pool_id in self._filled:
                self._filled_at[pool_id] = now
        self._heard.difference_update(due)
        self._filled.difference_update(due)
        return due

    def takes_back(self, pool_id: int, result: TickResult, now: float) -> bool:
        """Return whether to look now, after this tick, for executions in lists that should not begin any more."""
        if result.has_arrivals:
            self._changed.add(pool_id)
        pause = AFTER_NEWS_SECONDS if pool_id in self._changed else TAKE_BACK_SECONDS
        if now - self._compared_at.get(pool_id, 0.0) < pause:
            return False
        self._changed.discard(pool_id)
        self._compared_at[pool_id] = now
        return True

    def note(self, pool_id: int, result: TickResult, now: float, *, has_endings: bool = False) -> None:
        """Use the result of a tick of the pool for its next due time; ``has_endings``: it counted announced ends.

        A pool that is due again at once counts as signalled, so that the wake reaches another dispatcher if that ticks
        the pool.
        """
        self._with_lists.discard(pool_id)
        if result.has_lists:
            self._with_lists.add(pool_id)
        if has_endings or not result.was_led:
            self._refilled.discard(pool_id)
            if result.dispatched and result.awaited is NextTickTrigger.ENDS:
                self._refilled.add(pool_id)
        if result.was_led and result.awaited is not None:
            self._awaited[pool_id] = result.awaited
        elif not result.was_led or self._awaited.get(pool_id) is NextTickTrigger.ENDS:
            # Another process looked; or an execution ended, and no job waits any more.
            self._awaited.pop(pool_id, None)
        due = set(self._due_at) if result.has_woken_others else {pool_id} if result.has_more else set()
        self._heard.update(due)
        self._be_due(due, now)

    def put_off(self, pool_id: int, seconds: float, now: float) -> None:
        """Delay a pool whose tick failed by ``seconds``, but at most by the interval."""
        self._heard.add(pool_id)
        self._due_at[pool_id] = now + min(seconds, self._interval_seconds)

    def seconds_left(self, now: float) -> float:
        """Return the seconds until a pool is due; 0.0 if one is due now."""
        return max(0.0, min(self._due_at.values(), default=now + self._interval_seconds) - now)

    def _after(self, pool_id: int, seconds: float, now: float) -> float:
        """Return the time so many seconds after a tick last looked for new jobs, or now."""
        return max(now, self._filled_at.get(pool_id, 0.0) + seconds)

    def _pools_of(self, queues: Collection[str]) -> Collection[int]:
        try:
            return {self._pool_of_queue[name] for name in queues}
        except KeyError:
            return self._due_at

    def _be_due(self, pool_ids: Iterable[int], at: float) -> None:
        for pool_id in list(pool_ids):
            if pool_id in self._due_at:
                self._due_at[pool_id] = min(self._due_at[pool_id], at)
