"""How many streams may begin at once: each takes a database connection until it is open, and gives it back then.

After a restart all clients come back together; without this each of them would have a connection at the same moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

type Scope = dict[str, Any]
type Message = Mapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Application = Callable[[Scope, Receive, Send], Awaitable[None]]

STREAM_SUFFIX = "/stream/"
AT_ONCE = 8


class StreamEntrance:
    """An ASGI application around another: streams wait here for their turn to begin, everything else passes."""

    def __init__(self, application: Application, *, at_once: int = AT_ONCE) -> None:
        self._application = application
        self._places = asyncio.Semaphore(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith(STREAM_SUFFIX):
            await self._application(scope, receive, send)
            return
        await self._places.acquire()
        is_inside = True

        def leave() -> None:
            nonlocal is_inside
            if is_inside:
                is_inside = False
                self._places.release()

        async def send_and_leave(message: Message) -> None:
            # What comes first of a stream comes once its connection is given back.
            if message["type"] == "http.response.body":
                leave()
            await send(message)

        try:
            await self._application(scope, receive, send_and_leave)
        finally:
            leave()
