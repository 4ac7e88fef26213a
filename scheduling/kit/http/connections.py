"""Connections to checked addresses only, within a call's time limits, interruptible at the job's safe points.

The name is resolved once, every address of it is checked, and the connection uses a checked address: no second look-up
could return another one. TLS still requires a certificate for the name.
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
from scheduling.kit.http.policy import OutgoingPolicy

SAFE_POINT_SECONDS = 0.25
# Bytes written to the socket at a time, so that a slow reader cannot hold a call beyond its limits.
_WRITE_BYTES = 16 * 1024

type Resolve = Callable[[str, int], Sequence[str]]


class CallDeadline:
    """The deadlines of one call: for the whole call, and for the step that begins now."""

    def __init__(
        self, *, total_seconds: float, connect_seconds: float, read_seconds: float, at_safe_point: Callable[[], object]
    ) -> None:
        self.at_safe_point = at_safe_point
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._ends_at = time.monotonic() + total_seconds

    def until_connected(self) -> float:
        """Return the time, on the monotonic clock, by which a connection that starts now must be established."""
        return min(self._ends_at, time.monotonic() + self._connect_seconds)

    def until_read(self) -> float:
        """Return the time, on the monotonic clock, by which the next bytes must be read or written."""
        return min(self._ends_at, time.monotonic() + self._read_seconds)


class CheckedBackend(httpcore.NetworkBackend):
    """A network backend of httpcore for one call; it resolves the host and connects only to checked addresses."""

    def __init__(self, policy: OutgoingPolicy, clock: CallDeadline, resolve: Resolve) -> None:
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
        # Public names are resolved as absolute names, so that a search list cannot turn them into internal ones.
        is_inside = self._policy.is_allowed(host, port)
        name = host if is_inside or is_literal(host) else f"{host}."
        addresses = [ip_address(text) for text in _look_up(self._resolve, name, port, _left(ends_at))]
        for address in addresses:
            self._policy.check_address(host, port, address)
        return addresses


class WatchedStream(httpcore.NetworkStream):
    """A network stream that waits in short steps with a call of ``at_safe_point`` between them, up to the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, clock: CallDeadline) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the bytes that have arrived, as soon as there are any."""
        ends_at = self._clock.until_read()
        while True:
            self._clock.at_safe_point()
            try:
                return self._stream.read(max_bytes, timeout=min(SAFE_POINT_SECONDS, _left(ends_at)))
            except httpcore.ReadTimeout:
                continue  # `_left` raises when the time is over

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send the whole buffer."""
        ends_at = self._clock.until_read()
        for start in range(0, len(buffer), _WRITE_BYTES):
            self._clock.at_safe_point()
            self._stream.write(buffer[start : start + _WRITE_BYTES], timeout=_left(ends_at))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the same stream inside TLS."""
        left = _left(self._clock.until_connected())
        try:
            inner = self._stream.start_tls(ssl_context, server_hostname, timeout=left)
        except httpcore.ConnectError as error:
            raise NoAnswerError(f"{server_hostname}: {tls_fault(error.__cause__)}", code="tls_failed") from error
        return WatchedStream(inner, self._clock)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        """Return what the wrapped stream returns; httpcore reads its own streams with it."""
        return self._stream.get_extra_info(info)


class CallTimeoutError(Exception):
    """The error for a step of a call that did not end in time."""


def resolve(name: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, in the system's order of preference."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(answer[4][0]) for answer in found))


def _look_up(ask: Resolve, name: str, port: int, seconds: float) -> Sequence[str]:
    """Resolve in a separate thread: the system's resolver has no time-out."""
    answers: SimpleQueue[Sequence[str] | Exception] = SimpleQueue()

    def put_answer() -> None:
        try:
            answers.put(ask(name, port))
        except Exception as error:  # noqa: BLE001 - raised again below, in the caller's thread
            answers.put(error)

    threading.Thread(target=put_answer, name="outgoing-look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        raise CallTimeoutError from None
    if isinstance(answer, OSError | UnicodeError):
        raise NoAnswerError(f"{name.removesuffix('.')!r} has no address.", code="name_not_found") from answer
    if isinstance(answer, Exception):
        raise answer
    return answer


def _left(ends_at: float) -> float:
    """Return the seconds until a time; raise `CallTimeoutError` if it has passed."""
    left = ends_at - time.monotonic()
    if left <= 0:
        raise CallTimeoutError
    return left


def tls_fault(error: BaseException | None) -> str:
    """Return why no TLS connection was established, as text."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}."
    reason = error.reason if isinstance(error, ssl.SSLError) else error
    return f"the TLS handshake failed: {reason}."


def is_literal(host: str) -> bool:
    """Return whether the host is an IP address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
