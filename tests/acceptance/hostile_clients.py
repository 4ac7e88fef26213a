"""Clients that attack a web server byte by byte, and one that probes it meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.request import Request, urlopen

PART = b"x" * 64 * 1024
# A body above this size counts as read: sockets buffer a part of it in any case.
MOST_BYTES = 32 * 1024 * 1024
SECONDS = 60.0


@dataclass
class Answer:
    """Response, and how much of the body the server had read before."""

    status: int
    text: str
    taken: int


def send(port: int, head: str, *, endless: bool = False, is_chunked: bool = False, body: bytes = b"") -> Answer:
    """Send a request's head, then its body or one without end until the server answers; return the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        taken = 0
        with suppress(ConnectionError, BrokenPipeError):
            connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
            while endless and taken < MOST_BYTES and not _has_answer(connection):
                connection.sendall(b"%x\r\n%s\r\n" % (len(PART), PART) if is_chunked else PART)
                taken += len(PART)
        answer = bytearray()
        with suppress(ConnectionError):
            while b"\r\n\r\n" not in answer and (part := connection.recv(4096)):
                answer += part
            connection.settimeout(1.0)
            with suppress(TimeoutError):
                while len(answer) < 4096 and (part := connection.recv(4096)):
                    answer += part
        text = answer.decode("latin-1")
        return Answer(int(text.split(" ", 2)[1]) if text.startswith("HTTP/") else 0, text, taken)


def _has_answer(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        connection.settimeout(SECONDS)


@dataclass
class Pulse:
    """Seconds that each response of /health/live took."""

    seconds: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """Return the quantile of the seconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextmanager
def pulse_of(port: int) -> Iterator[Pulse]:
    """Request /health/live every 10 ms while the context is open."""
    pulse, is_over = Pulse(), threading.Event()

    def ask() -> None:
        request = Request(f"http://127.0.0.1:{port}/health/live", headers={"Host": "localhost"})
        while not is_over.is_set():
            began = time.monotonic()
            try:
                with urlopen(request, timeout=SECONDS) as answer:
                    answer.read()
            except OSError:
                pulse.seconds.append(SECONDS)
            else:
                pulse.seconds.append(time.monotonic() - began)
            is_over.wait(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield pulse
    finally:
        is_over.set()
        thread.join()


def dribble(port: int, begin: str, *, within: float = SECONDS) -> Answer:
    """Send the beginning of a request, then a byte every tenth of a second until it is answered or disconnected.

    The status is 0 for a connection that was closed without an answer, -1 for one that is still open after `within`.
    """
    ends_at, taken = time.monotonic() + within, 0
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(begin.replace("\n", "\r\n").encode())
        with suppress(ConnectionError):
            while not _has_answer(connection):
                if time.monotonic() > ends_at:
                    return Answer(-1, "", taken)
                connection.sendall(b"x")
                taken += 1
                time.sleep(0.1)
        answer = bytearray()
        with suppress(ConnectionError):
            while part := connection.recv(4096):
                answer += part
        text = answer.decode("latin-1")
        return Answer(int(text.split(" ", 2)[1]) if text.startswith("HTTP/") else 0, text, taken)
