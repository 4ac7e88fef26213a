"""Calls on an event loop: the checks, limits and refusals of `send`, many at a time in one thread.

Cancelling the task that awaits a call closes its connection at once.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import httpcore

from scheduling.kit.http.addresses import Address
from scheduling.kit.http.calling import (
    FOLLOWED,
    Answer,
    Limits,
    Request,
    check_request,
    follow,
    masked,
    sent_headers,
    ssl_context,
    too_many_redirects,
)
from scheduling.kit.http.connections import CallTimeoutError, Resolve, is_literal, resolve, tls_fault
from scheduling.kit.http.errors import NoAnswerError, RequestRefusedError
from scheduling.kit.http.policy import OutgoingPolicy, current_policy
from scheduling.kit.http.secret_headers import HeaderValue, Mask
from scheduling.kit.http.targets import UrlTarget, read_target
from scheduling.kit.runtime import running_tenant

DEFAULT_LIMITS = Limits()
# Look-ups run in threads that all jobs of the loop share; so many of a tenant's at once.
LOOK_UPS_AT_ONCE = 4
_look_ups: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, UUID | None], asyncio.Semaphore] = WeakValueDictionary()


class Stream:
    """An answer whose body is still arriving."""

    def __init__(self, response: httpcore.Response, target: UrlTarget, limits: Limits) -> None:
        self._response = response
        self._limits = limits
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers]
        self.answer = Answer(response.status, tuple(headers), b"", url=target.shown)
        self.is_cut = False
        self.mask = Mask()

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, up to the limit's bytes; `is_cut` is True afterwards if there was more.

        Nothing is masked, because a value may be split between two parts: pass text that you keep through
        `mask`.
        """
        left = self._limits.body_bytes
        async for part in self._response.aiter_stream():
            if len(part) > left:
                self.is_cut = True
                yield part[:left]
                return
            left -= len(part)
            yield part

    async def read(self) -> Answer:
        """Return the answer with its whole body, masked."""
        body = b"".join([part async for part in self.parts()])
        return masked(replace(self.answer, body=body, is_cut=self.is_cut), self.mask)


@asynccontextmanager
async def open_stream(
    method: str,
    url: str,
    *,
    headers: Iterable[tuple[str, HeaderValue]] = (),
    body: bytes = b"",
    limits: Limits = DEFAULT_LIMITS,
    is_url_by_operator: bool = False,
    look_up: Resolve = resolve,
) -> AsyncIterator[Stream]:
    """Call a URL and yield its answer while it arrives; no redirect is followed. Raise the errors of `send`."""
    request = Request(method, read_target(url), tuple(headers), body)
    check_request(request)
    async with _exchange(request, _policy_for(request.target, is_url_by_operator), limits, look_up) as stream:
        stream.mask = Mask.of(request.headers)
        stream.answer = masked(stream.answer, stream.mask)
        yield stream


async def send_async(
    method: str,
    url: str,
    *,
    headers: Iterable[tuple[str, HeaderValue]] = (),
    body: bytes = b"",
    limits: Limits = DEFAULT_LIMITS,
    is_url_by_operator: bool = False,
    look_up: Resolve = resolve,
) -> Answer:
    """Call a URL as `send` does, on the event loop; the total time includes redirects."""
    request = Request(method, read_target(url), tuple(headers), body)
    check_request(request)
    policy = _policy_for(request.target, is_url_by_operator)
    ends_at, mask = time.monotonic() + limits.total_seconds, Mask.of(request.headers)
    for redirects in range(limits.redirects + 1):
        left = replace(limits, total_seconds=ends_at - time.monotonic())
        async with _exchange(request, policy, left, look_up) as stream:
            answer = await stream.read()
        if not limits.redirects or answer.status not in FOLLOWED or not answer.header("location"):
            return masked(replace(answer, redirects=redirects), mask)
        request = follow(request, answer, mask)
    raise too_many_redirects(request, limits, mask)


def _policy_for(target: UrlTarget, is_url_by_operator: bool) -> OutgoingPolicy:  # noqa: FBT001 - passed on as received
    policy = current_policy()
    return policy.opened_for(target) if is_url_by_operator else policy


@asynccontextmanager
async def _exchange(
    request: Request, policy: OutgoingPolicy, limits: Limits, look_up: Resolve
) -> AsyncIterator[Stream]:
    """Send one request and yield its answer, on a separate connection."""
    policy.check_target(request.target)
    target, where = request.target, request.target.authority
    url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    backend, headers = CheckedAsyncBackend(policy, limits, look_up), sent_headers(request, policy)
    try:
        async with (
            httpcore.AsyncConnectionPool(ssl_context=ssl_context(), max_connections=1, network_backend=backend) as pool,
            pool.stream(request.method, url, headers=headers, content=request.body or None) as response,
        ):
            yield Stream(response, target, limits)
    except (CallTimeoutError, httpcore.TimeoutException) as error:
        raise NoAnswerError(f"{where} did not answer in time.", code="timed_out") from error
    except httpcore.LocalProtocolError:
        # Its text quotes the header.
        raise RequestRefusedError("The request cannot be encoded as HTTP.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise NoAnswerError(f"{where} is unreachable or closed the connection: {error}") from error


class CheckedAsyncBackend(httpcore.AsyncNetworkBackend):
    """A network backend of httpcore for one call; it resolves the host and connects only to checked addresses."""

    def __init__(self, policy: OutgoingPolicy, limits: Limits, resolve_name: Resolve) -> None:
        self._policy = policy
        self._limits = limits
        self._resolve = resolve_name
        self._ends_at = time.monotonic() + limits.total_seconds

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers, after all of them were checked."""
        until = min(self._ends_at, time.monotonic() + self._limits.connect_seconds)
        failure: Exception | None = None
        for address in await self._checked_addresses(host, port, until):
            try:
                stream = await httpcore.AnyIOBackend().connect_tcp(
                    str(address), port, timeout=_left(until), socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _TimedStream(stream, self._limits, self._ends_at)
        raise failure or httpcore.ConnectError("The name has no address.")

    async def sleep(self, seconds: float) -> None:
        """Sleep between two attempts, as httpcore requires."""
        await asyncio.sleep(seconds)

    async def _checked_addresses(self, host: str, port: int, until: float) -> list[Address]:
        is_inside = self._policy.is_allowed(host, port)
        # Public names are resolved as absolute names, so that a search list cannot turn them into internal ones.
        name = host if is_inside or is_literal(host) else f"{host}."
        addresses = [ip_address(text) for text in await self._look_up(name, port, until)]
        for address in addresses:
            self._policy.check_address(host, port, address)
        return addresses

    async def _look_up(self, name: str, port: int, until: float) -> Sequence[str]:
        try:
            async with asyncio.timeout(_left(until)):
                return await _in_thread(self._resolve, name, port)
        except TimeoutError as error:
            raise CallTimeoutError from error
        except (OSError, UnicodeError) as error:
            raise NoAnswerError(f"{name.removesuffix('.')!r} has no address.", code="name_not_found") from error


class _TimedStream(httpcore.AsyncNetworkStream):
    """A stream that ends with the call's time."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, limits: Limits, ends_at: float) -> None:
        self._stream = stream
        self._limits = limits
        self._ends_at = ends_at

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        return await self._stream.read(max_bytes, timeout=self._step())

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        await self._stream.write(buffer, timeout=self._step())

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
    ) -> httpcore.AsyncNetworkStream:
        try:
            inner = await self._stream.start_tls(ssl_context, server_hostname, timeout=self._step())
        except httpcore.ConnectError as error:
            raise NoAnswerError(f"{server_hostname}: {tls_fault(error.__cause__)}", code="tls_failed") from error
        return _TimedStream(inner, self._limits, self._ends_at)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _step(self) -> float:
        return min(self._limits.read_seconds, _left(self._ends_at))


async def _in_thread(look_up: Resolve, name: str, port: int) -> Sequence[str]:
    """Resolve a name in a thread, once fewer than LOOK_UPS_AT_ONCE threads do so for the tenant."""
    loop = asyncio.get_running_loop()
    free = _look_ups.setdefault((loop, running_tenant.get()), asyncio.Semaphore(LOOK_UPS_AT_ONCE))
    await free.acquire()
    found = loop.run_in_executor(None, look_up, name, port)
    # A cancelled call leaves its thread at work, so only the end of the thread counts.
    found.add_done_callback(lambda _: free.release())
    return await asyncio.shield(found)


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise CallTimeoutError
    return left
