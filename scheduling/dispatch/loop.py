"""The dispatcher's loop: it ticks pools when woken, and ticks a pool less often while its ticks fail.

Duties run on a separate thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection

from scheduling import signals
from scheduling.conf import TICK_JOBS
from scheduling.dispatch import broker, broker_probes
from scheduling.dispatch.broker_faults import record_broker_outage
from scheduling.dispatch.broker_types import remove_wrong_types
from scheduling.dispatch.duties import HEARTBEAT, Duty, DutyRoster
from scheduling.dispatch.pools_due import PoolsDue
from scheduling.dispatch.rejected_rows import quarantine_rejected
from scheduling.dispatch.republish import republish_unstarted
from scheduling.dispatch.take_back import take_back_held
from scheduling.dispatch.tick import TickResult, run_tick
from scheduling.exceptions import BrokerUnavailableError
from scheduling.models import Queue, WorkerPool
from tenants.database.platform_settings import platform_settings
from tenants.transactions import ConnectionLostError, session_errors

logger = logging.getLogger(__name__)

# Stands for a round outside of ticks, which has no pool.
ROUND = 0
MIN_BACK_OFF_SECONDS = 0.1
MAX_BACK_OFF_SECONDS = 2.0
# After this many failures in a row, some three seconds, the rows that a pool folds are halved; again after as many
# more.
HALVED_AFTER = 5


class FailingPools:
    """The pools whose last ticks failed, with the number of failures in a row."""

    def __init__(self) -> None:
        self._failures: Counter[int] = Counter()
        self._until: dict[int, float] = {}

    def seconds_left(self, pool_id: int, now: float) -> float:
        """Return in how many seconds the pool may be ticked again; 0.0 if it may be ticked now."""
        return max(0.0, self._until.get(pool_id, now) - now)

    def back_off_seconds(self, pool_id: int) -> float:
        """Return how many seconds to wait after the pool's last failure."""
        return min(MAX_BACK_OFF_SECONDS, MIN_BACK_OFF_SECONDS * 2.0 ** min(self._failures[pool_id] - 1, 10))

    def note_failure(self, pool_id: int, now: float, error: Exception) -> bool:
        """Count a failure of the pool; return whether to look now for rows that make its ticks fail.

        The first failure in a row is logged with its error.
        """
        self._failures[pool_id] += 1
        self._until[pool_id] = now + self.back_off_seconds(pool_id)
        if self._failures[pool_id] == 1:
            logger.error("dispatcher.failed", extra={"pool_id": pool_id}, exc_info=error)
        return self._failures[pool_id] % HALVED_AFTER == 0

    def note_success(self, pool_id: int) -> None:
        """Forget a pool's failures, and log how many there were."""
        if failures := self._failures.pop(pool_id, 0):
            logger.warning("dispatcher.recovered", extra={"pool_id": pool_id, "failures": failures})
            del self._until[pool_id]


PROBE_SECONDS = 1.0
SHORTEST_WAIT_SECONDS = 0.001
# Errors that a statement, a row or a stored value may cause; any other error is a bug.
TICK_ERRORS = (DatabaseError, InterfaceError, ValueError)


class DispatchLoop:
    """The dispatcher's loop; :meth:`run` returns once ``stopped`` is set."""

    def __init__(
        self, stopped: threading.Event, duties: Sequence[Duty] = (HEARTBEAT,), turn: Callable[[], None] = lambda: None
    ) -> None:
        self._stopped = stopped
        self._turn = turn
        self._is_broker_away, self._away_at = False, 0.0
        # A wake that was taken from the channel, which no other process will receive.
        self._is_woken = False
        self._failed_pools: set[int] = set()
        self._next_probe = 0.0
        self._duties = DutyRoster(duties, turn)
        self._back_off_seconds = MIN_BACK_OFF_SECONDS
        self._pool_ids: list[int] = []
        self._queue_names: list[str] = []
        # Tokens of messages that are ending, until a tick has counted them.
        self._endings: list[UUID] = []
        self._failing = FailingPools()
        self._due = PoolsDue(platform_settings.DISPATCH_INTERVAL_SECONDS)

    def run(self) -> None:
        """Tick pools and run the duties of this thread until stopped."""
        while not self._stopped.is_set():
            self._turn()
            try:
                with session_errors(connection):
                    self._round()
                self._back_off_seconds = MIN_BACK_OFF_SECONDS
                self._failing.note_success(ROUND)
            except TICK_ERRORS as error:
                # This round took news from the channel, which are not sent again.
                self._due.apply_signals(broker.DispatchSignals(is_everything=True), time.monotonic())
                if isinstance(error, ConnectionLostError):
                    logger.warning("dispatcher.database_away", exc_info=True)
                    self._reconnect_later()
                else:
                    # A deadlock or a time-out: the round is rolled back, and workers kept their leases meanwhile.
                    self._failing.note_failure(ROUND, time.monotonic(), error)
                    self._stopped.wait(self._failing.back_off_seconds(ROUND))
        if self._is_woken or self._due.has_pending_signals:
            broker.wake_dispatcher()
        connection.close()

    def _round(self) -> None:
        now = time.monotonic()
        if now >= self._next_probe:
            self._next_probe = now + PROBE_SECONDS
            self._probe_broker()
            self._pool_ids = list(WorkerPool.objects.order_by("pk").values_list("pk", flat=True))
            pool_of_queue = dict(Queue.objects.order_by().values_list("name", "pool_id"))
            self._queue_names = list(pool_of_queue)
            self._due.know(self._pool_ids, pool_of_queue)
            if self._is_broker_away:
                record_broker_outage(self._pool_ids)
        news = broker.drain_signals() if self._is_woken else broker.DispatchSignals()
        if self._is_woken:
            self._due.apply_signals(news, now)
        self._endings += news.endings
        self._tick_due(now)
        self._is_woken = False
        self._duties.run_due()
        seconds = self._due.seconds_left(time.monotonic())
        if seconds and not self._stopped.is_set():
            # Redis takes a time-out of zero for no time-out.
            self._is_woken = broker.wait_for_wake(max(seconds, SHORTEST_WAIT_SECONDS))

    def _tick_due(self, now: float) -> None:
        """Tick the due pools. Ending messages count in these ticks only."""
        if not (due := self._due.take(now)):
            return
        endings, self._endings = self._endings, []
        for pool_id, has_signal in due.items():
            if self._may_claim(pool_id):
                self._turn()
                self._attempt_tick(pool_id, endings, has_signal=has_signal)

    def _attempt_tick(self, pool_id: int, endings: Sequence[UUID], *, has_signal: bool) -> None:
        """Tick one pool unless it backs off; its failure does not affect the others."""
        if seconds := self._failing.seconds_left(pool_id, now := time.monotonic()):
            self._due.put_off(pool_id, seconds, now)
            return
        try:
            result = self._tick(pool_id, endings, has_signal=has_signal)
            if result.has_held and not result.has_more and self._due.takes_back(pool_id, result, time.monotonic()):
                self._endings += take_back_held(pool_id).ending
        except ConnectionLostError:
            raise
        except TICK_ERRORS as error:
            self._follow_failure(pool_id, error)
            return
        self._failing.note_success(pool_id)
        self._due.note(pool_id, result, time.monotonic(), has_endings=bool(endings))

    def _follow_failure(self, pool_id: int, error: Exception) -> None:
        """Back off from the pool; after some failures set aside the rows that no tick can fold."""
        if self._failing.note_failure(pool_id, time.monotonic(), error):
            try:
                quarantine_rejected(pool_id)
            except ConnectionLostError:
                raise
            except TICK_ERRORS:
                logger.exception("dispatcher.rows_not_halved", extra={"pool_id": pool_id})
        self._due.put_off(pool_id, self._failing.back_off_seconds(pool_id), time.monotonic())

    def _may_claim(self, pool_id: int) -> bool:
        return not self._is_broker_away and pool_id not in self._failed_pools

    def _tick(self, pool_id: int, ending: Sequence[UUID], *, has_signal: bool) -> TickResult:
        """Tick one pool, again at once if a wake may have come too late for its leader."""
        result = run_tick(pool_id, ending=ending)
        if has_signal and not result.was_led:
            # The leader may have looked before the event behind our wake was committed. It looks again if it finds the
            # late wake at its end; if it has ended, the lock is free. So no wake is lost, and no loop waits.
            broker.request_repeated_tick(pool_id)
            result = run_tick(pool_id, ending=ending)
        if result.unpublished:
            # The claims are undone; the next ones wait until the broker answers a probe.
            logger.warning("dispatcher.publishing_failed", extra={"pool_id": pool_id, "undone": result.unpublished})
            self._failed_pools.add(pool_id)
            self._next_probe = time.monotonic() + PROBE_SECONDS
        return result

    def _probe_broker(self) -> None:
        """Probe the broker, and republish if it restarted empty or came back after an absence."""
        try:
            remove_wrong_types(self._queue_names)
            is_new = broker_probes.is_epoch_new()
        except BrokerUnavailableError as error:
            if not self._is_broker_away:
                self._away_at = time.monotonic()
                logger.warning("dispatcher.broker_away", exc_info=True)
            self._is_broker_away = True
            broker_probes.note_outage(self._away_at, str(error))
            return
        was_away = self._is_broker_away or bool(self._failed_pools)
        self._is_broker_away = False
        self._failed_pools.clear()
        if is_new or was_away:
            logger.info("dispatcher.broker_back", extra={"is_empty": is_new})
            # On a new installation an empty broker has lost nothing.
            if self._republish_all() and is_new:
                signals.broker_emptied.send(None)

    def _republish_all(self) -> int:
        total = count = republish_unstarted(is_epoch_new=True)
        while count == TICK_JOBS:
            self._turn()
            logger.info("dispatcher.republished", extra={"count": count})
            count = republish_unstarted(is_epoch_new=True)
            total += count
        return total

    def _reconnect_later(self) -> None:
        connection.close()
        self._stopped.wait(self._back_off_seconds)
        self._back_off_seconds = min(2 * self._back_off_seconds, MAX_BACK_OFF_SECONDS)
