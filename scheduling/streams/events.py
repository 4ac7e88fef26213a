"""The feed of what happens to jobs: read once, told to everybody whom it concerns, each from where it left off."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import transaction

from scheduling.lifecycle import TERMINAL_STATES, JobState
from scheduling.selectors.event_feed import FEED_PAGE, FedEvent, Horizon, Position, read_feed, read_horizon
from scheduling.streams.feeds import Feed
from scheduling.streams.messages import control_message, event_message
from scheduling.streams.subscriptions import EventSubscription
from tenants.clock import read_clock
from tenants.context import all_tenants, tenant_context
from tenants.ids import uuid7_floor

# How long before its transaction began an event's id may have been made, on a clock that is a little off.
ID_SLACK = timedelta(seconds=5)
# How long a transaction may last for its events to be found by whoever comes later.
LONG_TRANSACTION = timedelta(minutes=10)
# What is older than this is not resumed after: a reader would go through too much for one client.
RESUME_LIMIT = timedelta(hours=1)
POSITION_EVERY = timedelta(minutes=1)
# Before the first event of any job.
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class EventFeed(Feed[EventSubscription]):
    """Reads behind the door for the tenants that are listened to; what somebody has missed, in that tenant's scope."""

    interval_seconds = 0.1

    def __init__(self) -> None:
        super().__init__()
        # Up to where everybody who is live has been told.
        self._after: Position | None = None
        # When which transaction had not yet begun.
        self._samples: deque[tuple[datetime, int]] = deque(maxlen=6_000)
        self._told_position_at: datetime | None = None

    def look(self, subscriptions: Sequence[EventSubscription]) -> None:
        """Tell what has been settled since the last look."""
        with transaction.atomic():
            horizon, now = read_horizon(), read_clock()
        live = [each for each in subscriptions if each.is_live]
        if not live or self._after is None:
            self._after = Position(horizon.settled)
        self._tell_live(live, horizon)
        self._tell_position(live, horizon, now)
        self._samples.append((now, horizon.upcoming))
        for each in subscriptions:
            if not each.is_live:
                self._catch_up(each, horizon, now)

    def _tell_live(self, live: Sequence[EventSubscription], horizon: Horizon) -> None:
        if self._after is None:
            return
        tenant_ids = {each.tenant_id for each in live}
        while tenant_ids and self._after.transaction < horizon.settled:
            with all_tenants():
                fed = read_feed(
                    tenant_ids=tenant_ids, after=self._after, until=horizon.settled, since=self._since(self._after)
                )
            for each in live:
                tell(each, fed)
            self._after = fed[-1].position if len(fed) == FEED_PAGE else Position(horizon.settled)
        self._after = max(self._after, Position(horizon.settled))

    def _since(self, after: Position) -> datetime:
        """Before when no id was made of what comes after the position."""
        begun = next((at for at, upcoming in reversed(self._samples) if upcoming <= after.transaction), None)
        if begun is not None:
            return begun - ID_SLACK
        return (self._samples[0][0] if self._samples else datetime.now(UTC)) - LONG_TRANSACTION

    def _catch_up(self, subscription: EventSubscription, horizon: Horizon, now: datetime) -> None:
        """One page of what was missed; whoever has it all is live from here on, without a gap and without a double."""
        if subscription.after is None or not is_resumable(subscription, subscription.after, horizon, now):
            self._begin(subscription, horizon, now)
        after = subscription.after or Position(0)
        since = _BEGINNING if subscription.job_id else (after.at or now) - LONG_TRANSACTION
        with tenant_context(subscription.tenant_id):
            fed = read_feed(
                tenant_ids=[subscription.tenant_id],
                after=after,
                until=horizon.settled,
                since=since,
                job_id=subscription.job_id,
            )
        is_whole = len(fed) < FEED_PAGE
        subscription.after = fed[-1].position if fed else after
        if subscription.has_ended:
            # Its last event is there, but may stand behind a transaction that is still open.
            subscription.past_until = subscription.past_until or horizon.upcoming
            tell(subscription, fed, is_past=is_whole and horizon.settled >= subscription.past_until)
            return
        tell(subscription, fed)
        subscription.is_live = is_whole

    def _begin(self, subscription: EventSubscription, horizon: Horizon, now: datetime) -> None:
        """Say where the stream begins; a job's with its first event, a tenant's now."""
        name = "ready" if subscription.after is None else "gap"
        subscription.after = Position(0) if subscription.job_id else end_of(horizon, now)
        subscription.offer([control_message(name, {}, subscription.after)])

    def _tell_position(self, live: Sequence[EventSubscription], horizon: Horizon, now: datetime) -> None:
        """Now and then a quiet tenant's clients are given a younger place to resume after."""
        if self._told_position_at is None or now - self._told_position_at >= POSITION_EVERY:
            self._told_position_at = now
            message = control_message("position", {}, end_of(horizon, now))
            for each in live:
                if each.job_id is None:
                    each.offer([message])


def end_of(horizon: Horizon, now: datetime) -> Position:
    """Behind all that is settled; with a time, so that it is known how long ago that was."""
    return Position(horizon.settled - 1, uuid7_floor(now + ID_SLACK))


def is_resumable(subscription: EventSubscription, after: Position, horizon: Horizon, now: datetime) -> bool:
    """Whether what came after a position can be told yet; not where the database is another one, or it is long ago."""
    if after.transaction > horizon.upcoming:
        return False
    return subscription.job_id is not None or (after.at is not None and after.at > now - RESUME_LIMIT)


def tell(subscription: EventSubscription, fed: Sequence[FedEvent], *, is_past: bool = False) -> None:
    """Hand over what concerns this client; a job's stream ends with the job."""
    mine = [each for each in fed if concerns(subscription, each)]
    is_over = subscription.job_id is not None and (
        is_past or any(JobState(each.event.state) in TERMINAL_STATES for each in mine)
    )
    messages = [event_message(each) for each in mine]
    if is_over:
        messages.append(control_message("end", {"reason": "job_ended"}))
    if messages:
        subscription.offer(messages, is_last=is_over)


def concerns(subscription: EventSubscription, fed: FedEvent) -> bool:
    """Whether an event is this client's to hear."""
    is_of_tenant = fed.event.tenant_id == subscription.tenant_id
    return is_of_tenant and subscription.job_id in (None, fed.event.job_id)


feed = EventFeed()
