"""Long polls: a request that waits holds no transaction, no connection and no place, and is then asked again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse

from tenants.database.platform_settings import platform_settings

# Where an ASGI request's scope has the way to let another in.
LEAVE_ENTRANCE = "entrance.leave"
# Of those who have stepped aside, so many look at once: a look takes a connection.
LOOKS_AT_ONCE = 4
_looks = threading.BoundedSemaphore(LOOKS_AT_ONCE)


def step_aside(request: HttpRequest) -> None:
    """Hold no connection while the request waits, and under ASGI no place at the entrance."""
    let_go_of_connection()
    leave: Callable[[], object] | None = getattr(request, "scope", {}).get(LEAVE_ENTRANCE)
    if leave is not None:
        leave()


@contextmanager
def looking() -> Iterator[None]:
    """A look of whoever has stepped aside: its turn among few, and a connection for as long."""
    with _looks:
        try:
            yield
        finally:
            let_go_of_connection()


def let_go_of_connection() -> None:
    """Close it; its thread opens another when it asks again."""
    # A test's own transaction spans its requests; there the connection is not ours to close.
    if not connection.in_atomic_block:
        connection.close()


# How soon a wait looks again: at first as often as workers write; at last often enough that whoever loses the right
# is not kept waiting for a second more.
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.5, 1.0
# A wait holds a thread of its process. Beyond these the answer comes at once, as at the end of a wait.
places = threading.BoundedSemaphore(platform_settings.WAITS_PER_PROCESS)


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a request would wait, and whether there is news by now: asked in no transaction, and with no scope."""

    seconds: float
    has_news: Callable[[], bool]


def wait_for_news(request: HttpRequest, wait: Wait) -> HttpResponse:
    """What a view answers that would wait. Nobody sees it: the view is asked again."""
    request.wait = wait  # type: ignore[attr-defined]
    return HttpResponse(status=204)


def has_waited(request: HttpRequest) -> bool:
    """Whether the view is asked for the second time, and answers now."""
    return bool(getattr(request, "has_waited", False))


def watch(wait: Wait) -> None:
    """Look again and again until there is news, the time is over, or the database does not answer."""
    give_up_at = time.monotonic() + wait.seconds
    pause = FIRST_PAUSE_SECONDS
    while (left := give_up_at - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(2 * pause, LAST_PAUSE_SECONDS)
        with looking():
            try:
                if wait.has_news():
                    break
            except (OperationalError, InterfaceError):
                # The view meets it as well, and says so.
                break
