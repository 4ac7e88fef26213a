"""Worker of the web server: gunicorn's gthread worker with a time limit for slow clients.

A client that sends its request slowly would occupy a thread for all that time.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, override

from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker

from tenants.requests.bodies import MAX_TEXT_BYTES, REST_SECONDS, cut_off_slow_clients, receiving


class SlowClientWorker(ThreadWorker):
    """Threaded gunicorn worker that disconnects clients that send their request too slowly."""

    @override
    def handle(self, conn: Any) -> Any:
        """Serve one request and return gunicorn's result, or False for a client that was disconnected as too slow."""
        with receiving(conn.sock) as receipt:
            answer = super().handle(conn)
        if receipt.is_cut_off:
            return False  # what the client still sends is no request
        if answer is False:
            _read_rest(conn)
        return answer

    @override
    def notify(self) -> None:
        """Report to gunicorn that the process is alive, and disconnect slow clients. Gunicorn calls it every second."""
        super().notify()
        cut_off_slow_clients()


def _read_rest(conn: Any) -> None:
    """Read the rest of an answered request's body, up to a limit, before the connection is closed.

    Closing a socket with unread data resets the connection, and the response is lost.
    """
    if conn.parser is None or conn.is_http2:
        return
    # A client that disconnects or sends a malformed body needs no answer.
    with suppress(OSError, ParseException):
        conn.parser.finish_body(deadline=time.monotonic() + REST_SECONDS, max_bytes=MAX_TEXT_BYTES)
