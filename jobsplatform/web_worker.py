"""The web server's worker: gunicorn's with threads, with a limit of time for clients that send slowly.

Each slow client holds a thread while it sends its request.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, override

from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker

from tenants.requests.bodies import MAX_TEXT_BYTES, REST_SECONDS, cut_off_slow_clients, receiving


class SlowClientWorker(ThreadWorker):
    """gunicorn's worker with threads, which ends the connections of clients that send a request too slowly."""

    @override
    def handle(self, conn: Any) -> Any:
        """Serve one request; return what gunicorn's own method returns, or False for a client that was cut off."""
        with receiving(conn.sock) as receipt:
            answer = super().handle(conn)
        if receipt.is_cut_off:
            return False  # what the client still sends is no request
        if answer is False:
            _read_rest(conn)
        return answer

    @override
    def notify(self) -> None:
        """Tell gunicorn that the process lives, as its main thread does every second, and cut slow clients off."""
        super().notify()
        cut_off_slow_clients()


def _read_rest(conn: Any) -> None:
    """Read what is left of the body of a request that was answered, within bounds, before the connection is closed.

    A socket that is closed with something unread in it is reset, and the answer with it.
    """
    if conn.parser is None or conn.is_http2:
        return
    # A client that breaks off or sends no proper body needs no answer.
    with suppress(OSError, ParseException):
        conn.parser.finish_body(deadline=time.monotonic() + REST_SECONDS, max_bytes=MAX_TEXT_BYTES)
