"""A request that waits steps aside: it holds no connection and keeps nobody out, and looks for news in its turn.

It imports no model: an ASGI server needs it before the apps are there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection
from django.http import HttpRequest

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
