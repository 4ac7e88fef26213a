"""The least rate at which a client sends its request; a slower one is cut off.

A thread that reads from a socket cannot be interrupted, so its socket is shut down for reading from outside: a read
that blocks ends at once, and the answer can still be written.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from tenants.database.platform_settings import platform_settings

LEAST_BYTES_PER_SECOND = 128 * 1024


def seconds_for(size: int) -> float:
    """Return within how many seconds of a request's begin so many bytes of its body must have been sent."""
    return float(platform_settings.RECEIVE_GRACE_SECONDS) + size / LEAST_BYTES_PER_SECOND


class Receipt:
    """The receipt of one request over a socket, and when it is cut off."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._began_at = time.monotonic()
        self._ends_at = self._began_at + seconds_for(0)
        self.is_cut_off = False

    def note(self, size: int) -> None:
        """Allow the time for the bytes of the body that have been received so far."""
        self._ends_at = self._began_at + seconds_for(size)

    def end(self) -> None:
        """Stop the clock: the request was received in whole."""
        self._ends_at = math.inf

    def cut_off_if_late(self) -> None:
        if time.monotonic() < self._ends_at or self.is_cut_off:
            return
        self.is_cut_off = True
        with suppress(OSError):  # the client has gone
            self._sock.shutdown(socket.SHUT_RD)


_open: dict[socket.socket, Receipt] = {}


@contextmanager
def receiving(sock: socket.socket) -> Iterator[Receipt]:
    """Watch a socket while a thread serves a request that comes over it."""
    receipt = _open[sock] = Receipt(sock)
    try:
        yield receipt
    finally:
        del _open[sock]


def receipt_of(environ: Mapping[str, Any]) -> Receipt | None:
    """Return the receipt of the request with this WSGI environment; None if its server watches none."""
    return _open.get(environ["gunicorn.socket"]) if "gunicorn.socket" in environ else None


def cut_off_slow_clients() -> None:
    """Shut down every socket whose request is late."""
    for receipt in list(_open.values()):
        receipt.cut_off_if_late()
