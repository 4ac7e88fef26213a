"""Long polls: a view asks to wait, the request waits without transaction or connection, then the view runs again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse

from tenants.database.platform_settings import platform_settings

# The key in an ASGI scope of the function that admits another request.
LEAVE_ENTRANCE = "entrance.leave"
# At most so many released requests query at once, each with a connection.
LOOKS_AT_ONCE = 4
_looks = threading.BoundedSemaphore(LOOKS_AT_ONCE)


def release_resources(request: HttpRequest) -> None:
    """Close the connection before the request waits; under ASGI also give up its place among the admitted requests."""
    close_connection()
    leave: Callable[[], object] | None = getattr(request, "scope", {}).get(LEAVE_ENTRANCE)
    if leave is not None:
        leave()


@contextmanager
def polling_turn() -> Iterator[None]:
    """Limit how many released requests query at once; close the connection at the end of the block."""
    with _looks:
        try:
            yield
        finally:
            close_connection()


def close_connection() -> None:
    """Close the thread's database connection. The next query opens another one."""
    # In a test the connection belongs to the test's transaction.
    if not connection.in_atomic_block:
        connection.close()


# The pause between two queries of a wait: at first as short as workers write; at last short enough that a lost
# permission shows within a second.
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.5, 1.0
# A wait holds a thread of its process. Beyond this number the response comes at once, as at the end of a wait.
places = threading.BoundedSemaphore(platform_settings.WAITS_PER_PROCESS)


@dataclass(frozen=True, slots=True)
class LongPoll:
    """The wait that a view asks for: its maximum length in seconds, and what ends it earlier.

    `has_news()` returns whether there is something to report. It is called without a transaction and a tenant scope.
    """

    seconds: float
    has_news: Callable[[], bool]


def long_poll_response(request: HttpRequest, wait: LongPoll) -> HttpResponse:
    """Return the placeholder response of a view that wants to wait. It is never sent, because the view runs again."""
    request.wait = wait  # type: ignore[attr-defined]
    return HttpResponse(status=204)


def has_long_polled(request: HttpRequest) -> bool:
    """Return whether the request has waited already, so that the view must answer now."""
    return bool(getattr(request, "has_waited", False))


def poll_until_due(wait: LongPoll) -> None:
    """Poll `wait.has_news` until it returns True, the time is over, or the database does not respond."""
    give_up_at = time.monotonic() + wait.seconds
    pause = FIRST_PAUSE_SECONDS
    while (left := give_up_at - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(2 * pause, LAST_PAUSE_SECONDS)
        with polling_turn():
            try:
                if wait.has_news():
                    break
            except (OperationalError, InterfaceError):
                # The view meets the same error and reports it.
                break
