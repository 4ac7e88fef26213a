"""Request bodies: their maximum size, whether they are kept in memory or in files, and the space for all of them.

The maximum is that of the route if the request has access, and small otherwise. A larger body that declares its length
is refused before it is read.

Bodies are read completely before a transaction is opened. Otherwise a slow client would keep a transaction idle until
PostgreSQL ended it, and its upload would fail. A client below the minimum rate is disconnected.
"""

from __future__ import annotations

import io
import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from tempfile import SpooledTemporaryFile
from typing import IO, Any
from uuid import UUID

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.urls import Resolver404, resolve

from tenants.database.platform_settings import platform_settings
from tenants.exceptions import BodiesBusyError, BodyTooLargeError, BodyTooSlowError, LengthRequiredError

# For a request without access, and for one with access to a URL that takes no body.
MAX_ANONYMOUS_BYTES = 64 * 1024
# The maximum of any body without files; other views take DATA_UPLOAD_MAX_MEMORY_SIZE or their own `max_body_bytes`. A
# text of this size costs a process about 200 MiB once it is parsed.
MAX_TEXT_BYTES = 8 * 1024 * 1024
# The rest of a body that was not read before the response is read for this long, up to the size of a text.
REST_SECONDS = 2.0
# For one request with files, each of which has a limit of its own.
MAX_UPLOAD_BYTES = 1024 * 1024 * 1024
_FILES = "multipart/form-data"
_PART_BYTES = 64 * 1024
LEAST_BYTES_PER_SECOND = 128 * 1024


class BodySpace:
    """The space for request bodies in this process's temporary files, in bytes. One owner may take half of it.

    An owner is a tenant; all platform staff together are one owner (None).
    """

    def __init__(self) -> None:
        self._taken: Counter[UUID | None] = Counter()
        self._lock = threading.Lock()

    def take(self, owner: UUID | None, size: int) -> None:
        """Reserve `size` bytes for the owner; raise `BodiesBusyError` if fewer are free, in total or for this owner."""
        with self._lock:
            is_full = self._taken.total() + size > platform_settings.BODY_SPACE_BYTES
            if is_full or self._taken[owner] + size > largest_share():
                raise BodiesBusyError
            self._taken[owner] += size

    def give_back(self, owner: UUID | None, size: int) -> None:
        with self._lock:
            self._taken[owner] -= size
            self._taken = +self._taken  # without owners that have nothing


space = BodySpace()


def largest_share() -> int:
    """Return how many bytes of the space one owner may take at most."""
    return int(platform_settings.BODY_SPACE_BYTES) // 2


class BodyReservation:
    """The bytes that one request has reserved in `space`. They are released when the context exits."""

    def __init__(self, content_type: str | None) -> None:
        # Files are written a second time when the body is parsed.
        self._copies = 2 if (content_type or "").partition(";")[0].strip().lower() == _FILES else 1
        self._taken = 0
        self._owner: UUID | None = None

    def __enter__(self) -> BodyReservation:
        return self

    def __exit__(self, *_: object) -> None:
        space.give_back(self._owner, self._taken)

    def take(self, size: int, *, owner: UUID | None) -> None:
        """Reserve space for `size` more bytes of the body; all calls must name the same owner.

        Raise `BodiesBusyError` if not enough is free now, `BodyTooLargeError` if the space could never hold the body.
        """
        require_size(self._taken // self._copies + size, largest_share() // self._copies)
        space.take(owner, self._copies * size)
        self._owner = owner
        self._taken += self._copies * size


class BodyInput(io.IOBase):
    """The `wsgi.input` of a request: the client's stream, or after `replace` a file with the received body.

    Django keeps a reference to this object when it creates the request, so replacing the entry of the WSGI environment
    later would have no effect.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self.is_received = False

    def read(self, size: int | None = -1, /) -> bytes:
        part: bytes = self._source.read(size)
        return part

    def readline(self, size: int | None = -1, /) -> bytes:
        line: bytes = self._source.readline(size)
        return line

    def replace(self, file: IO[bytes]) -> None:
        """Read from the file instead of the client from now on."""
        self._source, self.is_received = file, True


def wrap_body_input(sender: Any, environ: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """Put a `BodyInput` around the request's `wsgi.input`.

    It is a receiver of `request_started`, which is sent before Django creates the request.
    """
    if environ is not None:
        environ["wsgi.input"] = BodyInput(environ["wsgi.input"])


@contextmanager
def received_body(request: HttpRequest, *, has_access: bool, owner: UUID | None = None) -> Iterator[None]:
    """Within the context, hold the request's body in memory, or in a temporary file if it is large.

    Raise `LengthRequiredError`, `BodyTooLargeError` or `BodiesBusyError` before anything is read, and
    `BodyTooSlowError` if the client is disconnected as too slow. Nothing is read for a request without access: its view
    reads a short body itself. Under ASGI nothing is read either, because the body has been limited and read before.
    """
    if not isinstance(request, WSGIRequest):
        yield
        return
    length = _declared_length(request, has_access=has_access)
    if length > MAX_ANONYMOUS_BYTES:
        require_size(length, limit_of_route(request.path_info, request.method) if has_access else MAX_ANONYMOUS_BYTES)
    body: BodyInput = request.environ["wsgi.input"]
    if not length or not has_access or body.is_received:
        if not length and (receipt := receipt_of(request.environ)) is not None:
            receipt.end()
        yield
        return
    memory = settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    with BodyReservation(request.content_type) as share, SpooledTemporaryFile(max_size=memory) as spool:
        if length > memory:
            share.take(length, owner=owner)
        _copy_body(body, length, spool, receipt_of(request.environ))
        spool.seek(0)
        body.replace(spool)
        yield


def _copy_body(body: BodyInput, length: int, spool: IO[bytes], receipt: ReceiveProgress | None) -> None:
    """Copy a body of this length into a file; raise `BodyTooSlowError` if the client is cut off before its end."""
    received = 0
    while received < length and (part := body.read(min(_PART_BYTES, length - received))):
        spool.write(part)
        received += len(part)
        if receipt is not None:
            receipt.note(received)
            if receipt.is_cut_off:
                break
    if receipt is not None:
        receipt.end()
        if receipt.is_cut_off:
            raise BodyTooSlowError


def limit_of_route(path: str, method: str | None) -> int:
    """Return the maximum size, in bytes, of the body of a request with access, as its view or action declares it."""
    try:
        view = resolve(path).func
    except Resolver404:
        return MAX_ANONYMOUS_BYTES
    action = getattr(view, "actions", {}).get((method or "").lower())
    owner = getattr(view, "cls", view)
    limit: int | None = getattr(owner, "max_upload_bytes", {}).get(action) or getattr(owner, "max_body_bytes", None)
    return limit or settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def require_size(size: int, limit: int) -> None:
    """Raise `BodyTooLargeError` if `size` is greater than `limit` (both in bytes)."""
    if size > limit:
        raise BodyTooLargeError("The body is larger than %(limit)s bytes.", {"limit": limit})


def _declared_length(request: WSGIRequest, *, has_access: bool) -> int:
    declared = request.META.get("CONTENT_LENGTH") or ""
    if has_access and not declared and request.META.get("HTTP_TRANSFER_ENCODING"):
        # In WSGI only the length marks the end of a body: Django would take the body for an empty one.
        raise LengthRequiredError
    return int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 20 else 0


def seconds_for(size: int) -> float:
    """Return within how many seconds of a request's start `size` bytes of its body must have arrived."""
    return float(platform_settings.RECEIVE_GRACE_SECONDS) + size / LEAST_BYTES_PER_SECOND


class ReceiveProgress:
    """The progress of receiving one request from a socket, and its deadline.

    A thread that reads from a socket cannot be interrupted. So another thread shuts the socket down for reading when
    the deadline has passed: the blocked read returns, and the response can still be written.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._began_at = time.monotonic()
        self._ends_at = self._began_at + seconds_for(0)
        self.is_cut_off = False

    def note(self, size: int) -> None:
        """Extend the deadline according to the total number of bytes received so far."""
        self._ends_at = self._began_at + seconds_for(size)

    def end(self) -> None:
        """Remove the deadline, because the request has been received completely."""
        self._ends_at = math.inf

    def cut_off_if_late(self) -> None:
        if time.monotonic() < self._ends_at or self.is_cut_off:
            return
        self.is_cut_off = True
        with suppress(OSError):  # the client has disconnected
            self._sock.shutdown(socket.SHUT_RD)


_open: dict[socket.socket, ReceiveProgress] = {}


@contextmanager
def receiving(sock: socket.socket) -> Iterator[ReceiveProgress]:
    """Watch a socket for slowness while a thread serves a request from it. Yield the progress of the request."""
    receipt = _open[sock] = ReceiveProgress(sock)
    try:
        yield receipt
    finally:
        del _open[sock]


def receipt_of(environ: Mapping[str, Any]) -> ReceiveProgress | None:
    """Return the progress of the request with this WSGI environment; None if its server does not watch sockets."""
    return _open.get(environ["gunicorn.socket"]) if "gunicorn.socket" in environ else None


def cut_off_slow_clients() -> None:
    """Shut down, for reading, each watched socket whose request has missed its deadline."""
    for receipt in list(_open.values()):
        receipt.cut_off_if_late()
