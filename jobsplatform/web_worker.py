"""The web server's worker: gunicorn's gthread with a time limit for slow clients.

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
    """A threaded gunicorn worker that cuts off clients that send their request too slowly."""

    @override
    def handle(self, conn: Any) -> Any:
        """Serve one request. Return gunicorn's own result, or False for a client that was cut off."""
        with receiving(conn.sock) as receipt:
            answer = super().handle(conn)
        if receipt.is_cut_off:
            return False  # what the client still sends is no request
        if answer is False:
            _read_rest(conn)
        return answer

    @override
    def notify(self) -> None:
        """Report to gunicorn that the process is alive, and cut off slow clients; called every second."""
        super().notify()
        cut_off_slow_clients()


def _read_rest(conn: Any) -> None:
    """Read the rest of an answered request's body, within bounds, before the connection is closed.

    Closing a socket with unread data resets it, and the response is lost.
    """
    if conn.parser is None or conn.is_http2:
        return
    # A client that disconnects or sends a malformed body needs no answer.
    with suppress(OSError, ParseException):
        conn.parser.finish_body(deadline=time.monotonic() + REST_SECONDS, max_bytes=MAX_TEXT_BYTES)
