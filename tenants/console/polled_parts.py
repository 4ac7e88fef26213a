"""Page fragments that the browser polls.

They are cached in memory for all viewers of the same rows, and have an ETag.
"""

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

from tenants.cache.shared_cache import cache_seconds
from tenants.context import require_scope
from tenants.signals import cache_asked

# Half of the interval at which the overview polls its fragments.
KEPT_SECONDS = 2.5
# Until this age an older fragment is served while another request renders it.
STALE_SECONDS = 5.0
# The status at which htmx stops polling.
STOP_POLLING = 286


class Fragment(NamedTuple):
    """The HTML of a page fragment, and its ETag."""

    body: SafeString
    etag: str


@dataclass(slots=True)
class _Entry:
    """One variant of a fragment, with the lock of the thread that renders it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    fragment: Fragment | None = None
    drawn_at: float = 0.0

    def find(self, seconds: float) -> Fragment | None:
        """Return the fragment if it was rendered less than so many seconds ago, else None."""
        return self.fragment if time.monotonic() - self.drawn_at < seconds else None


class CachedPart:
    """A cached page fragment, the same for all viewers of the same rows in the same language.

    Only one thread at a time renders an entry; entries are separate by tenant. The HTML is never stored in Redis,
    because who can write there could then write into the pages of the platform's staff.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def get(self, draw: Callable[[], SafeString], *, variant: str = "") -> Fragment:
        """Return the fragment; ``draw`` renders it if the cached one is older than KEPT_SECONDS.

        While another thread renders it, a fragment of up to STALE_SECONDS is returned; for an older one the caller
        waits. ``variant`` names the viewer's permissions or choices that the fragment depends on. If caches are
        disabled, it is rendered each time.
        """
        if not cache_seconds():
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
            # Another thread may have rendered it since.
            kept = entry.find(KEPT_SECONDS)
            return self._draw(entry, draw) if kept is None else self._count_hit(kept)
        finally:
            entry.lock.release()

    def clear(self) -> None:
        """Remove all entries, so that the next request renders the fragment again."""
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
    """Return the HTML as a fragment, with its ETag."""
    return Fragment(body, etag_of(body))


def etag_of(body: str) -> str:
    """Return the ETag of a fragment's HTML: a quoted hash of it."""
    return quote_etag(hashlib.sha256(body.encode()).hexdigest()[:32])


def part_response(request: HttpRequest, body: str, *, etag: str | None = None, status: int = 200) -> HttpResponseBase:
    """Return a response with the HTML and this status, or 304 if the browser already has the HTML.

    The ETag is computed from the body if none is given.
    """
    response = HttpResponse(body, status=status)
    response.headers["ETag"] = etag or etag_of(body)
    response.headers["Cache-Control"] = "private, no-cache"
    return get_conditional_response(request, etag=response.headers["ETag"], response=response) or response
