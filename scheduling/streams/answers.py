"""The answer that stays open: within limits, with no connection to the database, and under ASGI alone."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any
from weakref import WeakSet

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from scheduling.conf import streams_per_caller, streams_per_process
from scheduling.exceptions import NoStreamsHereError, PositionRefusedError, StreamsFullError, TooManyStreamsError
from scheduling.selectors.event_feed import Position, PositionInvalidError
from scheduling.streams.feeds import Feed
from scheduling.streams.subscriptions import Subscription
from tenants.access import access_of
from tenants.asides import let_go_of_connection

LAST_EVENT_ID = "Last-Event-ID"
HEADERS = {"Cache-Control": "private, no-store", "X-Accel-Buffering": "no"}


class Ticket:
    """A place for one stream. It is free again when nothing refers to it, however the stream has ended."""

    def __init__(self, caller: object) -> None:
        self.caller = caller


class Places:
    """The streams of this process, and whose they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tickets: WeakSet[Ticket] = WeakSet()

    def take(self, caller: object) -> Ticket:
        """A place; `TooManyStreamsError` or `StreamsFullError` where there is none."""
        with self._lock:
            if sum(ticket.caller == caller for ticket in self._tickets) >= streams_per_caller():
                raise TooManyStreamsError
            if len(self._tickets) >= streams_per_process():
                raise StreamsFullError
            ticket = Ticket(caller)
            self._tickets.add(ticket)
            return ticket

    def give_back(self, ticket: Ticket) -> None:
        """Let somebody else have it."""
        with self._lock:
            self._tickets.discard(ticket)


places = Places()


def require_streams(request: HttpRequest) -> None:
    """Raise `NoStreamsHereError` in a process that would hold a thread for each client."""
    if not isinstance(request, ASGIRequest):
        raise NoStreamsHereError


def read_position(request: HttpRequest) -> Position | None:
    """Where the client left off, as its browser says it when it connects again."""
    given = request.headers.get(LAST_EVENT_ID, "")
    try:
        return Position.parse(given) if given else None
    except PositionInvalidError as error:
        raise PositionRefusedError from error


def stream_response(feed: Feed[Any], subscription: Subscription) -> StreamingHttpResponse:
    """The open answer to a client of a feed."""
    ticket = places.take(_caller_of(subscription.request))
    return StreamingHttpResponse(
        _stream(feed, subscription, ticket), content_type="text/event-stream; charset=utf-8", headers=HEADERS
    )


async def _stream(feed: Feed[Any], subscription: Subscription, ticket: Ticket) -> AsyncIterator[bytes]:
    # In the thread of the request, whose transaction has ended: what it has read with is not kept open.
    await sync_to_async(let_go_of_connection)()
    try:
        yield subscription.begin()
        feed.add(subscription)
        async for messages in subscription.receive():
            yield messages
    finally:
        feed.remove(subscription)
        places.give_back(ticket)


def _caller_of(request: HttpRequest) -> object:
    key = access_of(request).api_key
    return ("key", key.pk) if key is not None else ("user", request.user.pk)
