"""One thread a process and feed: it reads for all clients, and lets its connection go when none is left."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from django.db import InterfaceError, OperationalError, connection

from scheduling.streams.subscriptions import Subscription
from scheduling.worker.watchdog import Watchdog
from tenants.standing import who_may_no_more

logger = logging.getLogger(__name__)

# Whoever loses the right is told nothing more within a second.
RIGHTS_SECONDS = 0.5
# How long a reader without clients waits for the next one, as a page that is loaded anew leaves and comes.
LINGER_SECONDS = 5.0
# Pause after the database has not answered.
AWAY_SECONDS = 1.0
# It writes no heartbeat file: the process serves HTTP.
_watchdog = Watchdog()


class Feed[S: Subscription](ABC):
    """Who listens, and the thread that reads for them."""

    interval_seconds = 1.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: set[S] = set()
        self._thread: threading.Thread | None = None
        self._asked_at = 0.0
        self._empty_since = 0.0

    def add(self, subscription: S) -> None:
        """Tell this client as well; the reader begins with the first."""
        with self._lock:
            self._subscriptions.add(subscription)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
                self._thread.start()

    def remove(self, subscription: S) -> None:
        """Tell this client nothing more."""
        with self._lock:
            self._subscriptions.discard(subscription)

    @abstractmethod
    def look(self, subscriptions: Sequence[S]) -> None:
        """Read once, and hand over what there is."""

    def take_turn(self, subscriptions: Sequence[S]) -> None:
        """Ask who still may, and read for those who do."""
        now = time.monotonic()
        if now - self._asked_at >= RIGHTS_SECONDS:
            self._asked_at = now
            lost = who_may_no_more((each.request, each.permission) for each in subscriptions)
            gone = [each for each in subscriptions if each.request in lost]
            for each in gone:
                self.remove(each)
                each.end("right_lost")
            subscriptions = [each for each in subscriptions if each not in gone]
        if subscriptions:
            self.look(subscriptions)

    def _run(self) -> None:
        loop = _watchdog.add(type(self).__name__)
        try:
            while (present := self._present()) is not None:
                loop.turn()
                pause = self._turn_and_pause(present)
                time.sleep(pause)
        except Exception:
            # Clients connect again and resume; a reader that goes on after a fault of its own might skip something.
            logger.exception("stream.reader_failed")
            with self._lock:
                failed, self._subscriptions, self._thread = self._subscriptions, set(), None
            for each in failed:
                each.end("fault")
        finally:
            _watchdog.remove(loop)
            connection.close()

    def _turn_and_pause(self, present: list[S]) -> float:
        began = time.monotonic()
        try:
            if present:
                self.take_turn(present)
        except (OperationalError, InterfaceError) as error:
            logger.warning("stream.database_away", exc_info=error)
            connection.close()
            return AWAY_SECONDS
        took = time.monotonic() - began
        # A reading that takes long rests as long, so that it never has the database for itself.
        return max(self.interval_seconds - took, min(took, self.interval_seconds))

    def _present(self) -> list[S] | None:
        """Who listens; None when nobody has for a while, and the thread ends."""
        now = time.monotonic()
        with self._lock:
            if self._subscriptions:
                self._empty_since = 0.0
                return list(self._subscriptions)
            self._empty_since = self._empty_since or now
            if now - self._empty_since < LINGER_SECONDS:
                return []
            self._thread, self._empty_since = None, 0.0
            return None
