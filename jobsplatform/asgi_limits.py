"""Limits of ASGI requests before Django handles them: size of head and body, and number of concurrent requests.

Every request runs in its own thread with its own database connection. Without a limit, clients that arrive together,
such as after a restart, would open as many connections. A connection that a request does not close outlives the thread
until garbage collection, and PostgreSQL would run out of connections, for the workers as well.

Django reads a whole body before it does anything else, so the size of the body is limited here, while it is received.
Under WSGI a middleware limits it before Django reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections

from jobsplatform.request_heads import MEDIA_TYPE, refusal_of
from tenants.api.problems import problem_response
from tenants.exceptions import BodyTooSlowError, DomainError
from tenants.requests.asgi_access import ANONYMOUS_BOUNDS, BodyLimits, body_limits_of
from tenants.requests.bodies import (
    MAX_ANONYMOUS_BYTES,
    MAX_TEXT_BYTES,
    REST_SECONDS,
    BodyReservation,
    require_size,
    seconds_for,
)
from tenants.requests.long_polls import LEAVE_ENTRANCE

type Scope = dict[str, Any]
type Message = Mapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Application = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = structlog.stdlib.get_logger("jobsplatform.asgi_limits")

# Uses no database: a probe that waited behind a dead one would have the process killed.
ALWAYS_OPEN = "/health/live"
AT_ONCE = 8
MAX_LOGGED_PATH = 512


class RequestLimiter:
    """ASGI application that wraps another and limits the number of concurrent requests with a semaphore.

    A request enters the semaphore when its body is received, and leaves it when the response body begins or the request
    starts a long poll: slow and waiting clients do not count.
    """

    def __init__(self, application: Application, *, at_once: int = AT_ONCE) -> None:
        self._application = application
        self._places = asyncio.Semaphore(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = scope.get("headers", [])
        refused = refusal_of(
            target=len(scope.get("raw_path") or scope["path"]) + len(scope.get("query_string", b"")),
            host=sum(len(value) for name, value in headers if name == b"host"),
            headers=sum(len(name) + len(value) for name, value in headers),
        )
        if refused is not None:
            status, body = refused
            await _answer(send, status, body, [(b"content-type", MEDIA_TYPE.encode())])
            return
        rest = _Rest(receive)
        # Django's handler enters one as well, and reuses this one: the connections are those of the same thread.
        async with ThreadSensitiveContext():
            with BodyReservation(_header(scope, b"content-type").decode("latin-1")) as share:
                try:
                    await self._pass(scope, rest.receive, send, share)
                except DomainError as refusal:
                    logger.info("request.refused", path=scope["path"][:MAX_LOGGED_PATH], code=refusal.code)
                    response = problem_response(refusal)
                    named = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
                    await _answer(send, response.status_code, response.content, named, rest)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, share: BodyReservation) -> None:
        place, has_begun, loop = _Place(self._places), False, asyncio.get_running_loop()
        body = _Body(scope, receive, share, place)
        await body.require_declared_size()
        is_open = scope["path"] == ALWAYS_OPEN

        async def receive_and_enter() -> Message:
            message = await body.receive()
            if message["type"] == "http.request" and not message.get("more_body", False) and not is_open:
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
        try:
            await self._application(scope | waits_aside, receive_and_enter, send if is_open else leave_and_send)
        finally:
            try:
                await _close_connections()
            finally:
                place.leave()
        if body.refusal is not None:
            raise body.refusal


class _Body:
    """Body of a request while it is received: refused if it is too slow, or larger than its caller and route allow.

    The credentials are looked up only for large bodies, once, and within the limit of concurrent requests.
    """

    def __init__(self, scope: Scope, receive: Receive, share: BodyReservation, place: _Place) -> None:
        self._scope, self._receive, self._share, self._place = scope, receive, share, place
        declared = _header(scope, b"content-length")
        self._declared = int(declared) if declared.isdigit() and len(declared) < 20 else 0
        self._received = 0
        self._bounds: BodyLimits | None = None
        self._began_at: float | None = None
        self._is_whole = False
        self.refusal: DomainError | None = None

    async def require_declared_size(self) -> None:
        """Raise an error if the declared size is too large; otherwise reserve space for it."""
        if self._declared > MAX_ANONYMOUS_BYTES:
            await self._take(self._declared, whole=self._declared)

    async def receive(self) -> Message:
        """Return the next ASGI message; a disconnect if the body is refused, so that Django drops what it has."""
        try:
            message = await self._receive_in_time()
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                self._received += size
                self._is_whole = not message.get("more_body", False)
                if self._received > max(self._declared, MAX_ANONYMOUS_BYTES):
                    await self._take(size, whole=self._received)
        except DomainError as refusal:
            self.refusal = refusal
            return {"type": "http.disconnect"}
        return message

    async def _receive_in_time(self) -> Message:
        """Return the next ASGI message; raise BodyTooSlowError if the client sends below the minimum rate."""
        if self._is_whole:  # only a disconnect can follow
            return await self._receive()
        if self._began_at is None:
            self._began_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(self._began_at + seconds_for(self._received)):
                return await self._receive()
        except TimeoutError:
            raise BodyTooSlowError from None

    async def _take(self, size: int, *, whole: int) -> None:
        """Reserve space for ``size`` more bytes; raise an error if the body, with ``whole`` bytes, is too large."""
        if self._bounds is None and not any(_header(self._scope, name) for name in (b"authorization", b"cookie")):
            self._bounds = ANONYMOUS_BOUNDS  # without credentials there is nothing to look up
        if self._bounds is None:
            await self._place.enter()
            try:
                self._bounds = await sync_to_async(body_limits_of)(self._scope)
                await _close_connections()
            finally:
                self._place.leave()
        require_size(whole, self._bounds.limit)
        self._share.take(size, owner=self._bounds.owner)


class _Place:
    """Holder of a request's permit of the semaphore that limits concurrent requests."""

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


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for held, value in scope.get("headers", []) if held == name), b"")


class _Rest:
    """Unread rest of the body of a refused request.

    It must be read, because closing a socket with unread data resets the connection, and the response is lost.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_whole = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._is_whole = not message.get("more_body", False)
        return message

    async def read(self) -> None:
        """Read and discard the rest, up to a number of bytes and seconds."""
        left = MAX_TEXT_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_SECONDS):
                while left > 0 and not self._is_whole:
                    left -= len((await self.receive()).get("body", b""))


async def _answer(
    send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]], rest: _Rest | None = None
) -> None:
    """Send a response, read the rest of the request's body if given, and close the connection."""
    closing = [*headers, (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": closing})
    await send({"type": "http.response.body", "body": body, "more_body": rest is not None})
    if rest is not None:
        await rest.read()
        await send({"type": "http.response.body", "body": b""})


_close_connections = sync_to_async(connections.close_all)
