"""Streaming responses of the event feed: their number is limited, and they need ASGI but no database connection."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from weakref import WeakSet

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from scheduling.exceptions import NoStreamsHereError, PositionRefusedError, StreamsFullError, TooManyStreamsError
from scheduling.limits.declared import STREAMS
from scheduling.streams.event_feed import FeedPosition, PositionInvalidError
from scheduling.streams.feed import EventFeed
from scheduling.streams.subscriptions import StreamSubscription
from tenants.access.caller import access_of
from tenants.database.platform_settings import platform_settings
from tenants.limits.declared import LimitReached
from tenants.limits.usage import allowed_for
from tenants.requests.features import require_feature
from tenants.requests.long_polls import close_connection

LAST_EVENT_ID = "Last-Event-ID"
# One in this many of the process's streams is reserved for tenants without one.
KEPT_PART = 10
HEADERS = {"Cache-Control": "private, no-store", "X-Accel-Buffering": "no"}


class StreamSlot:
    """Permission for one open stream. It is freed when it is garbage-collected, even if the stream was abandoned."""

    def __init__(self, owner: StreamOwner) -> None:
        self.owner = owner


@dataclass(frozen=True, slots=True)
class StreamOwner:
    """Owner of a stream: ``caller`` is an API key or account, ``group`` the tenant that it acts for.

    Platform staff act for no tenant; each of them is its own group. `allowed` is the plan's limit for the group.
    """

    caller: object
    group: object
    allowed: int | None = None


class StreamSlots:
    """All open streams of this process with their owners, and their limits.

    The last tenth of the slots is reserved for groups without a stream, so that one tenant cannot take all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tickets: WeakSet[StreamSlot] = WeakSet()

    def take(self, owner: StreamOwner) -> StreamSlot:
        """Return a slot for a new stream; raise TooManyStreamsError or StreamsFullError if the owner can have none."""
        with self._lock:
            of_group = [ticket.owner for ticket in self._tickets if ticket.owner.group == owner.group]
            if sum(other.caller == owner.caller for other in of_group) >= platform_settings.STREAMS_PER_CALLER:
                raise TooManyStreamsError
            if owner.allowed is not None and len(of_group) >= owner.allowed:
                raise _too_many_of_tenant(owner.allowed)
            most = platform_settings.STREAMS_PER_PROCESS
            kept = most // KEPT_PART if of_group else 0
            if len(self._tickets) >= most - kept:
                raise StreamsFullError
            ticket = StreamSlot(owner)
            self._tickets.add(ticket)
            return ticket

    def give_back(self, ticket: StreamSlot) -> None:
        """Free a slot."""
        with self._lock:
            self._tickets.discard(ticket)


places = StreamSlots()


def require_streams(request: HttpRequest) -> None:
    """Raise NoStreamsHereError in a process without ASGI, which would need a thread for each client."""
    require_feature("streams")
    if not isinstance(request, ASGIRequest):
        raise NoStreamsHereError(
            "The web server serves no streams. Send the request to the streams server: run_platform starts it on the "
            "port after the web server's, and docs/how-to/streams.md describes it."
        )


def read_position(request: HttpRequest) -> FeedPosition | None:
    """Return the position in the `Last-Event-ID` of a reconnecting client, or None without one.

    Raise PositionRefusedError if it is invalid.
    """
    given = request.headers.get(LAST_EVENT_ID, "")
    try:
        return FeedPosition.parse(given) if given else None
    except PositionInvalidError as error:
        raise PositionRefusedError from error


def stream_response(feed: EventFeed, subscription: StreamSubscription) -> StreamingHttpResponse:
    """Return the streaming response for a client of the feed; raise an error if there is no slot for it."""
    ticket = places.take(_owner_of(subscription.request))
    return StreamingHttpResponse(
        _stream(feed, subscription, ticket), content_type="text/event-stream; charset=utf-8", headers=HEADERS
    )


async def _stream(feed: EventFeed, subscription: StreamSubscription, ticket: StreamSlot) -> AsyncIterator[bytes]:
    # In the request's thread, after its transaction: closes the connection that the request used.
    await sync_to_async(close_connection)()
    try:
        yield subscription.begin()
        feed.add(subscription)
        async for messages in subscription.receive():
            yield messages
    finally:
        feed.remove(subscription)
        places.give_back(ticket)


def _owner_of(request: HttpRequest) -> StreamOwner:
    access = access_of(request)
    caller = ("user", request.user.pk) if access.api_key is None else ("key", access.api_key.pk)
    if access.tenant is None or access.platform_role is not None:
        return StreamOwner(caller, caller)
    return StreamOwner(caller, access.tenant.pk, allowed_for(access.tenant.pk, STREAMS))


def _too_many_of_tenant(allowed: int) -> TooManyStreamsError:
    return TooManyStreamsError(
        "The plan allows the tenant %(allowed)s streams in one process. Close one, or change the plan.",
        {"allowed": f"{allowed:,}"},
        limit=LimitReached(STREAMS.key, STREAMS.unit, allowed, allowed),
    )
