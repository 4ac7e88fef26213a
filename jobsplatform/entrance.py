"""How many requests may be at work at once under ASGI, and that each gives back what it took from the database.

Every request has a thread of its own there, and so a connection of its own. Without a limit, as many connections would
be open as clients come together, such as after a restart. And a connection that its request does not close outlives
the thread until the garbage collector comes by: PostgreSQL runs out of them, for the workers as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections

from tenants.asides import LEAVE_ENTRANCE

type Scope = dict[str, Any]
type Message = Mapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# It asks no database, and whoever asks it would take a process that only waits for a dead one.
ALWAYS_OPEN = "/health/live"
AT_ONCE = 8


class Entrance:
    """An ASGI application around another: requests wait here for their turn.

    A place is taken once the body is there, and is free again as the answer's body begins, or the request begins to
    wait for news: a slow client or one that listens keeps nobody out.
    """

    def __init__(self, application: Application, *, at_once: int = AT_ONCE) -> None:
        self._application = application
        self._places = asyncio.Semaphore(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == ALWAYS_OPEN:
            await self._application(scope, receive, send)
            return
        place, has_begun, loop = _Place(self._places), False, asyncio.get_running_loop()

        async def receive_and_enter() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                await place.enter()
            return message

        async def leave_and_send(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.body" and not has_begun:
                has_begun = True
                await _close_connections()
                place.leave()
            await send(message)

        waits_aside = {LEAVE_ENTRANCE: lambda: loop.call_soon_threadsafe(place.leave)}
        # Django's handler enters one as well, and stays in this one: the connections are those of the same thread.
        async with ThreadSensitiveContext():
            try:
                await self._application(scope | waits_aside, receive_and_enter, leave_and_send)
            finally:
                try:
                    await _close_connections()
                finally:
                    place.leave()


class _Place:
    """A request's place, which it takes once and gives back once."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._is_inside = False

    async def enter(self) -> None:
        await self._places.acquire()
        self._is_inside = True

    def leave(self) -> None:
        if self._is_inside:
            self._is_inside = False
            self._places.release()


_close_connections = sync_to_async(connections.close_all)
