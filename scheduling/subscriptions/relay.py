"""Duty of a dispatcher that submits delivery jobs for job events, from a stored position.

The position is committed together with the submitted jobs, so a crash repeats or loses nothing. An event is delivered
when all older transactions have ended, so that no event can appear behind the position; a turn reads one page. A tenant
that has no room for more jobs, or more than its part of a page, gets its own row and continues from there until it has
caught up.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from scheduling.conf import BY_INDEX, WEBHOOK_KIND
from scheduling.dispatch.leadership import try_to_lead
from scheduling.models import EventRelay
from scheduling.streams.event_feed import Horizon, read_horizon
from scheduling.streams.event_pages import read_page
from scheduling.subscriptions.deliveries import EventDelivery, SubmittedDeliveries, deliveries_of, submit_deliveries
from scheduling.subscriptions.models import ALL, NOTHING
from scheduling.subscriptions.registry import EVENT_OF_STATE, EventSubscription, subscriptions_by_tenant
from tenants.context import Actor, acting_as, all_tenants
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.database.locks import LockClass
from tenants.models import Tenant

logger = logging.getLogger(__name__)

RELAY_ACTOR = Actor(kind="system", id="relay", label="relay")
RELAY_SECONDS = 0.5
# Deliveries of one turn, and of one tenant in it: ticks and other tenants wait for them.
TURN_DELIVERIES, TENANT_DELIVERIES = 50, 25
# Delayed tenants whose page is read in one turn.
BEHIND_LIMIT = 5
# A page scans the history along its key, regardless of the planner's statistics.
PLANNED = {**BY_INDEX, "enable_bitmapscan": "off"}
# Clock tolerance: an event's id may be this much older than its transaction.
ID_SLACK = timedelta(seconds=5)

type Subscriptions = Mapping[UUID, Sequence[EventSubscription]]


class EventRelayer:
    """Duty of a dispatcher that delivers a page of events every RELAY_SECONDS, without a pause if there are more."""

    def __init__(self) -> None:
        self._is_busy = False
        # Times at which a transaction number had not been assigned yet.
        self._samples: deque[tuple[datetime, int]] = deque(maxlen=1_200)

    def interval_seconds(self) -> float:
        """Return the seconds until the next turn: 0 while there are more pages, so that turns and ticks alternate."""
        return 0.0 if self._is_busy else RELAY_SECONDS

    def take_turn(self) -> int:
        """Submit the deliveries that are due; return how many.

        One dispatcher at a time does this, in others it returns 0.
        """
        self._is_busy = False
        with acting_as(RELAY_ACTOR), all_tenants(PLANNED):
            if not try_to_lead(LockClass.EVENT_RELAY):
                return 0
            # In this order: subscriptions from before an event was settled are then found.
            horizon, now = read_horizon(), read_clock()
            subscriptions = subscriptions_by_tenant()
            if not subscriptions:
                return 0
            self._samples.append((now, horizon.upcoming))
            turn = _Turn(horizon, now, subscriptions, self._since_of)
            submitted = turn.take()
        self._is_busy = turn.has_more
        return submitted

    def _since_of(self, settled: int) -> datetime | None:
        """Return a time before which no transaction from ``settled`` on wrote an event, or None if unknown."""
        return next((at for at, upcoming in reversed(self._samples) if upcoming <= settled), None)


@dataclass(frozen=True, slots=True)
class _Page:
    """The next deliveries; ``end`` is the position after them, or None at the end of what may be delivered."""

    deliveries: Sequence[EventDelivery]
    end: tuple[UUID, UUID] | None
    scanned: int = 0
    # Tenants with more deliveries before that position than their part, with the positions where they fall behind.
    cut: Mapping[UUID, tuple[UUID, UUID]] = field(default_factory=dict)


@dataclass(slots=True)
class _Turn:
    """One turn of the relay, with the subscriptions and the range of transactions that it has read."""

    horizon: Horizon
    now: datetime
    subscriptions: Subscriptions
    since_of: Callable[[int], datetime | None]
    has_more: bool = False

    def take(self) -> int:
        """Deliver to all tenants from the shared position, then to tenants that are behind; return the total."""
        shared = self._find_shared()
        rows = EventRelay.objects.exclude(tenant=None)
        behind = set(rows.values_list("tenant_id", flat=True))
        due: list[EventRelay] = []
        if behind:
            rows.exclude(tenant_id__in=list(self.subscriptions)).delete()
            waiting = rows.filter(due_at__lte=self.now).select_related("tenant__plan")
            due += waiting.order_by("due_at", "pk")[:BEHIND_LIMIT]
        # Tenants that are behind have a part of each turn, regardless of the others.
        submitted = self._tell_all(shared, behind, most=TURN_DELIVERIES - (TENANT_DELIVERIES if due else 0))
        for relay in due:
            if submitted >= TURN_DELIVERIES:
                self.has_more = True
                break
            submitted += self._tell_one(relay, shared, most=min(TENANT_DELIVERIES, TURN_DELIVERIES - submitted))
        return submitted

    def _find_shared(self) -> EventRelay:
        shared: EventRelay | None = EventRelay.objects.filter(tenant=None).first()
        if shared is None:
            # All events since the first subscription.
            return EventRelay(settled=0, since=_first_moment(self.subscriptions))
        if max(shared.settled, shared.until or 0) <= self.horizon.upcoming:
            return shared
        logger.warning("relay.begun_anew", extra={"settled": shared.settled, "upcoming": self.horizon.upcoming})
        EventRelay.objects.all().delete()
        return EventRelay.objects.create(settled=self.horizon.settled, since=self.now)

    def _tell_all(self, shared: EventRelay, behind: Collection[UUID], *, most: int) -> int:
        own = {tenant_id: each for tenant_id, each in self.subscriptions.items() if tenant_id not in behind}
        was_open = shared.until is not None
        if not _begin(shared, until=self.horizon.settled):
            return 0
        page = self._read(shared, own, most=most, of_each=TENANT_DELIVERIES)
        if own and not was_open and not page.scanned:
            # Without events nothing is written either.
            shared.until = None
            return 0
        submitted = self._submit(shared, page)
        self._move(shared, page.end)
        shared.save()
        return submitted

    def _submit(self, shared: EventRelay, page: _Page) -> int:
        """Submit the deliveries of a page, tenant by tenant; create a row for each tenant that cannot follow."""
        by_tenant = _by_tenant(page.deliveries)
        tenants = Tenant.objects.select_related("plan").in_bulk(list(by_tenant)) if by_tenant else {}
        submitted, behind = 0, dict.fromkeys(page.cut, 0.0)
        places = dict(page.cut)
        for tenant_id, own in sorted(by_tenant.items()):
            done = submit_deliveries(tenants[tenant_id], own)
            submitted += done.count
            if done.count < len(own):
                places[tenant_id] = own[done.count - 1].place if done.count else _place_of(shared)
                behind[tenant_id] = done.rest_seconds
        EventRelay.objects.bulk_create(
            EventRelay(
                tenant_id=tenant_id,
                settled=shared.settled,
                until=shared.until,
                event_id=places[tenant_id][0],
                target_id=places[tenant_id][1],
                since=shared.since,
                due_at=self.now + timedelta(seconds=rest_seconds),
            )
            for tenant_id, rest_seconds in behind.items()
        )
        self.has_more = self.has_more or bool(page.cut)
        return submitted

    def _tell_one(self, relay: EventRelay, shared: EventRelay, *, most: int) -> int:
        """Deliver to a tenant that is behind; when it has reached the shared position, delete its row."""
        assert relay.tenant is not None
        done = SubmittedDeliveries(0)
        if _begin(relay, until=shared.settled):
            page = self._read(relay, {relay.tenant.pk: self.subscriptions[relay.tenant.pk]}, most=most)
            if page.deliveries:
                done = submit_deliveries(relay.tenant, page.deliveries)
            if done.count == len(page.deliveries):
                self._move(relay, page.end)
            elif done.count:
                relay.event_id, relay.target_id = page.deliveries[done.count - 1].place
        if relay.until is None and relay.settled == shared.settled and shared.until is None:
            relay.delete()
        else:
            relay.due_at = self.now + timedelta(seconds=done.rest_seconds)
            relay.save()
        return done.count

    def _read(self, relay: EventRelay, subscriptions: Subscriptions, *, most: int, of_each: int | None = None) -> _Page:
        """Return the next page: at most ``most`` deliveries and, if there are several tenants, ``of_each`` of each."""
        assert relay.until is not None
        if not subscriptions:
            return _Page((), None)
        since = max(relay.since, _first_moment(subscriptions)) - ID_SLACK
        page = read_page(
            settled=relay.settled,
            until=relay.until,
            first=max(relay.event_id, uuid7_floor(since)),
            tenant_ids=subscriptions.keys(),
            states=EVENT_OF_STATE.keys(),
            without_kinds=[WEBHOOK_KIND],
        )
        found = deliveries_of(page.events, subscriptions, after=_place_of(relay))
        cut = {tenant_id: (event_id, ALL) for tenant_id, event_id in page.cut.items()}
        if of_each is not None and len(subscriptions) > 1:
            found, cut = _cut_down(found, of_each, cut)
        end = None if page.last_id is None else (page.last_id, ALL)
        if len(found) > most:
            found = found[:most]
            end = found[-1].place
        return _Page(found, end, page.scanned, {key: place for key, place in cut.items() if end is None or place < end})

    def _move(self, relay: EventRelay, end: tuple[UUID, UUID] | None) -> None:
        if end is not None:
            relay.event_id, relay.target_id = end
            self.has_more = True
            return
        assert relay.until is not None
        relay.settled, relay.until = relay.until, None
        relay.event_id = relay.target_id = NOTHING
        relay.since = max(relay.since, self.since_of(relay.settled) or relay.since)


def _begin(relay: EventRelay, *, until: int) -> bool:
    """Give the row a range of transactions to deliver, up to ``until``, unless it has one.

    Return False if nothing is new.
    """
    if relay.until is None and relay.settled < until:
        relay.until = until
    return relay.until is not None


def _by_tenant(deliveries: Iterable[EventDelivery]) -> dict[UUID, list[EventDelivery]]:
    by_tenant: dict[UUID, list[EventDelivery]] = defaultdict(list)
    for delivery in deliveries:
        by_tenant[delivery.event.tenant_id].append(delivery)
    return by_tenant


def _cut_down(
    deliveries: Sequence[EventDelivery], of_each: int, cut: Mapping[UUID, tuple[UUID, UUID]]
) -> tuple[list[EventDelivery], dict[UUID, tuple[UUID, UUID]]]:
    """Drop the deliveries of each tenant beyond ``of_each``, because an event may have many subscribers.

    The order is kept.
    """
    cut = dict(cut)
    for tenant_id, own in _by_tenant(deliveries).items():
        if len(own) > of_each:
            cut[tenant_id] = own[of_each - 1].place
    return [each for each in deliveries if each.place <= cut.get(each.event.tenant_id, each.place)], cut


def _place_of(relay: EventRelay) -> tuple[UUID, UUID]:
    return relay.event_id, relay.target_id


def _first_moment(subscriptions: Subscriptions) -> datetime:
    return min(each.since for own in subscriptions.values() for each in own)
