"""The web server's worker: gunicorn's with threads, of which one stays with a connection that asks again at once.

It cuts slow clients off as well, each of which holds a thread while it sends its request.
"""

from __future__ import annotations

import select
import time
from contextlib import suppress
from typing import Any, override

from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker

from tenants.bodies import MAX_TEXT_BYTES, REST_SECONDS
from tenants.receiving import cut_off_slow_clients, receiving

# So long a thread that nobody else waits for looks whether its client has more to ask.
PATIENCE_MS = 5


class AttentiveWorker(ThreadWorker):
    """Whoever submits job after job is served by one thread.

    gunicorn hands each connection back to the main thread after an answer, which watches it and passes the next
    request on: two changes of threads for each, where a request is two milliseconds of work.
    """

    @override
    def handle(self, conn: Any) -> Any:
        """Serve the connection's requests until it rests or another waits for a thread; what gunicorn's own returns."""
        while True:
            with receiving(conn.sock) as receipt:
                answer = super().handle(conn)
            if receipt.is_cut_off:
                return False  # what the client still sends is no request
            if answer is False:
                _read_rest(conn)
            # What is not a plain yes is for the main thread to end, or to wait for.
            if answer is not True or not self.alive or not self._asks_again(conn):
                return answer

    @override
    def notify(self) -> None:
        """Tell gunicorn that the process lives, as its main thread does every second, and cut slow clients off."""
        super().notify()
        cut_off_slow_clients()

    def _asks_again(self, conn: Any) -> bool:
        if self._has_others():
            return False
        if conn.parser.unreader.buf.getvalue():
            return True
        watched = select.poll()
        watched.register(conn.sock, select.POLLIN)
        return bool(watched.poll(PATIENCE_MS)) and not self._has_others()

    def _has_others(self) -> bool:
        """Whether a request waits for a thread."""
        return bool(self.tpool._work_queue.qsize())  # noqa: SLF001 - of the standard library's executor


def _read_rest(conn: Any) -> None:
    """Read what is left of the body of a request that was answered, within bounds, before the connection is closed.

    A socket that is closed with something unread in it is reset, and the answer with it.
    """
    if conn.parser is None or conn.is_http2:
        return
    # A client that breaks off or sends no proper body needs no answer.
    with suppress(OSError, ParseException):
        conn.parser.finish_body(deadline=time.monotonic() + REST_SECONDS, max_bytes=MAX_TEXT_BYTES)
