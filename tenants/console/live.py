"""Parts of a page that the browser polls: kept in memory for all viewers of the same rows, answered with an ETag."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from tenants.cache.shared_cache import kept_seconds
from tenants.context import require_scope
from tenants.signals import cache_asked

# Half of the interval at which the overview polls its parts.
KEPT_SECONDS = 2.5
# Requests are answered with an older part while another request redraws it, up to this age.
STALE_SECONDS = 5.0
# The status at which htmx stops to poll.
STOP_POLLING = 286


class Fragment(NamedTuple):
    """The HTML of a part of a page, and its ETag."""

    body: SafeString
    etag: str


@dataclass(slots=True)
class _Entry:
    """One variant of a part, with the lock of the thread that draws it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    fragment: Fragment | None = None
    drawn_at: float = 0.0

    def find(self, seconds: float) -> Fragment | None:
        """Return the fragment if it was drawn less than so many seconds ago."""
        return self.fragment if time.monotonic() - self.drawn_at < seconds else None


class KeptPart:
    """A part of a page in this process's memory, the same for all viewers of the same rows in the same language.

    One thread draws it at a time. Entries are kept by tenant. HTML is never stored in Redis: write access there would
    be write access to the pages of the platform's staff.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def get(self, draw: Callable[[], SafeString], *, variant: str = "") -> Fragment:
        """Return the part as it was at most KEPT_SECONDS ago, or STALE_SECONDS ago while another thread redraws it.

        Wait for the other thread's lock if the part is older. ``variant`` names the viewer's rights or choices that
        the part depends on. Draw it each time if caches are off.
        """
        if not kept_seconds():
            return fragment_of(draw())
        key = f"{require_scope().tenant_id or 'all'}:{get_language()}:{variant}"
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
        kept, stale = entry.find(KEPT_SECONDS), entry.find(STALE_SECONDS)
        if kept is None and not entry.lock.acquire(blocking=stale is None):
            kept = stale
        if kept is not None:
            return self._count_hit(kept)
        try:
            # Another thread may have drawn it since.
            kept = entry.find(KEPT_SECONDS)
            return self._draw(entry, draw) if kept is None else self._count_hit(kept)
        finally:
            entry.lock.release()

    def clear(self) -> None:
        """Remove all entries, so that the next request draws the part."""
        with self._lock:
            self._entries = {}

    def _draw(self, entry: _Entry, draw: Callable[[], SafeString]) -> Fragment:
        cache_asked.send(None, cache=self.name, place="database", count=1)
        fragment = fragment_of(draw())
        entry.fragment, entry.drawn_at = fragment, time.monotonic()
        with self._lock:
            self._entries = {
                key: each for key, each in self._entries.items() if each.lock.locked() or each.find(STALE_SECONDS)
            }
        return fragment

    def _count_hit(self, fragment: Fragment) -> Fragment:
        cache_asked.send(None, cache=self.name, place="memory", count=1)
        return fragment


def fragment_of(body: SafeString) -> Fragment:
    """Return the body with its ETag."""
    return Fragment(body, tag_of(body))


def tag_of(body: str) -> str:
    """Return the ETag of a part."""
    return quote_etag(hashlib.sha256(body.encode()).hexdigest()[:32])


def answer_part(request: HttpRequest, body: str, *, etag: str | None = None, status: int = 200) -> HttpResponseBase:
    """Return the part with this status, or 304 if it has the ETag that the request names.

    Take the ETag from the body if none is given.
    """
    response = HttpResponse(body, status=status)
    response.headers["ETag"] = etag or tag_of(body)
    response.headers["Cache-Control"] = "private, no-cache"
    return get_conditional_response(request, etag=response.headers["ETag"], response=response) or response
