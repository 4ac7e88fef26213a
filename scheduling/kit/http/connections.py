"""Connections to checked addresses only, within a call's time, that let go at the job's safe points.

The name is looked up once, every address that it has is checked, and the address that was checked is the one that is
connected to: no second look-up could answer otherwise. TLS still asks for a certificate of the name.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from typing import Any

import httpcore

from scheduling.kit.http.addresses import Address
from scheduling.kit.http.errors import NoAnswerError
from scheduling.kit.http.policy import Policy

SAFE_POINT_SECONDS = 0.25
# What is handed to the socket at a time, so that a reader who takes a byte now and then cannot hold a call.
_WRITE_BYTES = 16 * 1024

type Resolve = Callable[[str, int], Sequence[str]]


class Clock:
    """How long a call may still take, in all and at the step that it is at."""

    def __init__(
        self, *, total_seconds: float, connect_seconds: float, read_seconds: float, at_safe_point: Callable[[], object]
    ) -> None:
        self.at_safe_point = at_safe_point
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._ends_at = time.monotonic() + total_seconds

    def until_connected(self) -> float:
        """The moment by which a connection that is begun now must stand."""
        return min(self._ends_at, time.monotonic() + self._connect_seconds)

    def until_read(self) -> float:
        """The moment by which something must have come or gone."""
        return min(self._ends_at, time.monotonic() + self._read_seconds)


class CheckedBackend(httpcore.NetworkBackend):
    """Looks up, checks and connects, for one call."""

    def __init__(self, policy: Policy, clock: Clock, resolve: Resolve) -> None:
        self._policy = policy
        self._clock = clock
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of the host's addresses that answers, after all of them were checked."""
        ends_at = self._clock.until_connected()
        failure: Exception | None = None
        for address in self._checked_addresses(host, port, ends_at):
            self._clock.at_safe_point()
            try:
                stream = httpcore.SyncBackend().connect_tcp(
                    str(address), port, timeout=_left(ends_at), socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return WatchedStream(stream, self._clock)
        raise failure or httpcore.ConnectError("The name has no address.")

    def _checked_addresses(self, host: str, port: int, ends_at: float) -> list[Address]:
        # A name of the world is looked up as it is, without the search list by which it could be one of the inside.
        is_inside = self._policy.is_allowed(host, port)
        name = host if is_inside or is_literal(host) else f"{host}."
        addresses = [ip_address(text) for text in _look_up(self._resolve, name, port, _left(ends_at))]
        for address in addresses:
            self._policy.check_address(host, port, address)
        return addresses


class WatchedStream(httpcore.NetworkStream):
    """A stream that waits in short turns, looks up between them, and ends with the call's time."""

    def __init__(self, stream: httpcore.NetworkStream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come, as soon as anything has."""
        ends_at = self._clock.until_read()
        while True:
            self._clock.at_safe_point()
            try:
                return self._stream.read(max_bytes, timeout=min(SAFE_POINT_SECONDS, _left(ends_at)))
            except httpcore.ReadTimeout:
                continue  # `_left` raises it when the time is over

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        ends_at = self._clock.until_read()
        for start in range(0, len(buffer), _WRITE_BYTES):
            self._clock.at_safe_point()
            self._stream.write(buffer[start : start + _WRITE_BYTES], timeout=_left(ends_at))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same stream inside TLS."""
        left = _left(self._clock.until_connected())
        try:
            inner = self._stream.start_tls(ssl_context, server_hostname, timeout=left)
        except httpcore.ConnectError as error:
            raise NoAnswerError(f"{server_hostname}: {tls_fault(error.__cause__)}", code="tls_failed") from error
        return WatchedStream(inner, self._clock)

    def close(self) -> None:
        """Let go."""
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of its own streams."""
        return self._stream.get_extra_info(info)


class TimeIsOverError(Exception):
    """A step of the call took all the time that it had."""


def resolve(name: str, port: int) -> Sequence[str]:
    """The addresses of a name, in the order in which the system prefers them."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(answer[4][0]) for answer in found))


def _look_up(ask: Resolve, name: str, port: int, seconds: float) -> Sequence[str]:
    """Ask in a thread of its own: the system's resolver takes its time and knows no limit."""
    answers: SimpleQueue[Sequence[str] | Exception] = SimpleQueue()

    def put_answer() -> None:
        try:
            answers.put(ask(name, port))
        except Exception as error:  # noqa: BLE001 - it is raised again below, in the caller's thread
            answers.put(error)

    threading.Thread(target=put_answer, name="outgoing-look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        raise TimeIsOverError from None
    if isinstance(answer, OSError | UnicodeError):
        raise NoAnswerError(f"{name.removesuffix('.')!r} has no address.", code="name_not_found") from answer
    if isinstance(answer, Exception):
        raise answer
    return answer


def _left(ends_at: float) -> float:
    """Seconds until a moment; `TimeIsOverError` once it has come."""
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeIsOverError
    return left


def tls_fault(error: BaseException | None) -> str:
    """Why no TLS connection came about, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}."
    reason = error.reason if isinstance(error, ssl.SSLError) else error
    return f"no TLS connection comes about: {reason}."


def is_literal(host: str) -> bool:
    """Whether the host is an address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
