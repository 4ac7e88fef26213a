"""Reader of job events for the clients of this process: one thread reads for all, for each from its position."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import InterfaceError, OperationalError, connection, transaction

from scheduling.jobs.history import OUTPUT_EVENT
from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState
from scheduling.streams.event_feed import FEED_PAGE, FedEvent, FeedPosition, Horizon, read_feed, read_horizon
from scheduling.streams.messages import control_message, event_message
from scheduling.streams.subscriptions import StreamSubscription
from scheduling.worker.watchdog import Watchdog
from tenants.access.reauthorization import find_revoked
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.1
# A client that loses the right receives nothing more within a second.
RIGHTS_SECONDS = 0.5
# How long the thread stays without clients, as a page that is reloaded disconnects and connects again.
LINGER_SECONDS = 5.0
# Pause after a failure of the database.
AWAY_SECONDS = 1.0
# Clock tolerance: an event's id may be this much older than its transaction.
ID_SLACK = timedelta(seconds=5)
# Longest transaction whose events a resuming client still receives.
LONG_TRANSACTION = timedelta(minutes=10)
# Older positions cannot resume: the feed would read too much for one client.
RESUME_LIMIT = timedelta(hours=1)
POSITION_EVERY = timedelta(minutes=1)
# Before the first event of any job.
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# Without a heartbeat file: the process serves HTTP.
_watchdog = Watchdog()


class EventFeed:
    """The streaming clients of this process, and the thread that reads events for them.

    The thread reads new events of all tenants with clients in one query. Events that one client has missed are read in
    that client's tenant context. Without clients the thread ends and closes its connection.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: set[StreamSubscription] = set()
        self._thread: threading.Thread | None = None
        self._rights_checked_at = 0.0
        self._empty_since = 0.0
        # All live clients have received the events up to here.
        self._after: FeedPosition | None = None
        # By time, the first transaction that had not begun yet.
        self._samples: deque[tuple[datetime, int]] = deque(maxlen=6_000)
        self._position_sent_at: datetime | None = None

    def add(self, subscription: StreamSubscription) -> None:
        """Add a client; start the thread if it does not run."""
        with self._lock:
            self._subscriptions.add(subscription)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
                self._thread.start()

    def remove(self, subscription: StreamSubscription) -> None:
        """Remove a client, to which nothing more is sent."""
        with self._lock:
            self._subscriptions.discard(subscription)

    def take_turn(self, subscriptions: Sequence[StreamSubscription]) -> None:
        """Read and send events. From time to time, first end the streams of clients that lost their permission."""
        now = time.monotonic()
        if now - self._rights_checked_at >= RIGHTS_SECONDS:
            self._rights_checked_at = now
            lost = find_revoked((each.request, needed) for each in subscriptions for needed in each.permissions)
            gone = [each for each in subscriptions if each.request in lost]
            for each in gone:
                self.remove(each)
                each.end("right_lost")
            subscriptions = [each for each in subscriptions if each not in gone]
        if subscriptions:
            self.look(subscriptions)

    def look(self, subscriptions: Sequence[StreamSubscription]) -> None:
        """Read the events of transactions that have ended since the last read, and send them to these clients."""
        with transaction.atomic():
            horizon, now = read_horizon(), read_clock()
        live = [each for each in subscriptions if each.is_live]
        if not live or self._after is None:
            self._after = FeedPosition(horizon.settled)
        self._send_live(live, self._after, horizon)
        self._send_position(live, horizon, now)
        self._samples.append((now, horizon.upcoming))
        for each in subscriptions:
            if not each.is_live:
                self._catch_up(each, horizon, now)

    def _send_live(self, live: Sequence[StreamSubscription], after: FeedPosition, horizon: Horizon) -> None:
        tenant_ids = {each.tenant_id for each in live}
        while tenant_ids and after.transaction < horizon.settled:
            with all_tenants():
                fed = read_feed(
                    tenant_ids=tenant_ids,
                    after=after,
                    until=horizon.settled,
                    since=self._since(after),
                    outputs_of={each.job_id for each in live if each.job_id and each.reads_output},
                )
            for each in live:
                send_events(each, fed)
            after = self._after = fed[-1].position if len(fed) == FEED_PAGE else FeedPosition(horizon.settled)
        self._after = max(after, FeedPosition(horizon.settled))

    def _since(self, after: FeedPosition) -> datetime:
        """Return a time that is earlier than the ids of all events after the position."""
        begun = next((at for at, upcoming in reversed(self._samples) if upcoming <= after.transaction), None)
        if begun is not None:
            return begun - ID_SLACK
        return (self._samples[0][0] if self._samples else datetime.now(UTC)) - LONG_TRANSACTION

    def _catch_up(self, subscription: StreamSubscription, horizon: Horizon, now: datetime) -> None:
        """Send one page of the events that a client has missed.

        After the last page the client gets new events with the others, without a gap or a duplicate.
        """
        if subscription.after is None or not is_resumable(subscription, subscription.after, horizon, now):
            self._begin(subscription, horizon, now)
        after = subscription.after or FeedPosition(0)
        since = _BEGINNING if subscription.job_id else (after.at or now) - LONG_TRANSACTION
        with tenant_context(subscription.tenant_id):
            fed = read_feed(
                tenant_ids=[subscription.tenant_id],
                after=after,
                until=horizon.settled,
                since=since,
                job_id=subscription.job_id,
                outputs_of=[subscription.job_id] if subscription.job_id and subscription.reads_output else [],
            )
        is_whole = len(fed) < FEED_PAGE
        subscription.after = fed[-1].position if fed else after
        if subscription.has_ended:
            # Its last event is committed, but may be behind a transaction that is still open.
            subscription.past_until = subscription.past_until or horizon.upcoming
            send_events(subscription, fed, is_past=is_whole and horizon.settled >= subscription.past_until)
            return
        send_events(subscription, fed)
        subscription.is_live = is_whole

    def _begin(self, subscription: StreamSubscription, horizon: Horizon, now: datetime) -> None:
        """Begin a client's stream: at the first event of its job, or at the present end of its tenant's events."""
        name = "ready" if subscription.after is None else "gap"
        subscription.after = FeedPosition(0) if subscription.job_id else end_of(horizon, now)
        subscription.offer([control_message(name, {}, subscription.after)])

    def _send_position(self, live: Sequence[StreamSubscription], horizon: Horizon, now: datetime) -> None:
        """Send clients of a tenant's stream a newer position to resume from, once a minute."""
        if self._position_sent_at is None or now - self._position_sent_at >= POSITION_EVERY:
            self._position_sent_at = now
            message = control_message("position", {}, end_of(horizon, now))
            for each in live:
                if each.job_id is None:
                    each.offer([message])

    def _run(self) -> None:
        loop = _watchdog.add("EventFeed")
        try:
            while (present := self._present()) is not None:
                loop.turn()
                pause = self._turn_and_pause(present)
                time.sleep(pause)
        except Exception:
            # Clients reconnect and resume; a reader that continued after its own fault might skip events.
            logger.exception("stream.reader_failed")
            with self._lock:
                failed, self._subscriptions, self._thread = self._subscriptions, set(), None
            for each in failed:
                each.end("fault")
        finally:
            _watchdog.remove(loop)
            connection.close()

    def _turn_and_pause(self, present: list[StreamSubscription]) -> float:
        began = time.monotonic()
        try:
            if present:
                self.take_turn(present)
        except (OperationalError, InterfaceError) as error:
            logger.warning("stream.database_away", exc_info=error)
            connection.close()
            return AWAY_SECONDS
        took = time.monotonic() - began
        # A slow read is followed by an equally long pause, so that the thread does not query continuously.
        return max(INTERVAL_SECONDS - took, min(took, INTERVAL_SECONDS))

    def _present(self) -> list[StreamSubscription] | None:
        """Return the clients, or None if there were none for LINGER_SECONDS, so that the thread ends."""
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


def end_of(horizon: Horizon, now: datetime) -> FeedPosition:
    """Return the position after all events of ended transactions; it includes the time, to check its age later."""
    return FeedPosition(horizon.settled - 1, uuid7_floor(now + ID_SLACK))


def is_resumable(subscription: StreamSubscription, after: FeedPosition, horizon: Horizon, now: datetime) -> bool:
    """Return whether the events after a position can still be sent.

    The position must be of this database and, for the stream of a tenant, less than RESUME_LIMIT old.
    """
    if after.transaction > horizon.upcoming:
        return False
    return subscription.job_id is not None or (after.at is not None and after.at > now - RESUME_LIMIT)


def send_events(subscription: StreamSubscription, fed: Sequence[FedEvent], *, is_past: bool = False) -> None:
    """Send a client those of the events that are for it; if its job has ended, end the stream too."""
    mine = [each for each in fed if is_recipient(subscription, each)]
    is_over = subscription.job_id is not None and (
        is_past or any(JobState(each.event.state) in TERMINAL_STATES for each in mine)
    )
    messages = [event_message(each) for each in mine]
    if is_over:
        messages.append(control_message("end", {"reason": "job_ended"}))
    if messages:
        subscription.offer(messages, is_last=is_over)


def is_recipient(subscription: StreamSubscription, fed: FedEvent) -> bool:
    """Return whether an event is for this client: it is of the client's tenant and, if set, of its job.

    Output is for clients of its job alone, and of them for those who may read it.
    """
    if fed.event.tenant_id != subscription.tenant_id or subscription.job_id not in (None, fed.event.job_id):
        return False
    return fed.event.name != OUTPUT_EVENT or (subscription.job_id is not None and subscription.reads_output)


feed = EventFeed()
