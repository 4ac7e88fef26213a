"""Parts of a page that are asked for again: a tag over what they show, and 304 while it is the same."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from tenants.context import require_scope
from tenants.shared_cache import kept_seconds
from tenants.signals import cache_asked

# Parts that everybody sees alike are drawn once a second in each process, however many look at them.
KEPT_SECONDS = 1.0


class KeptPart:
    """A part of a page in this process's memory, the same for all who see the same rows and read the same language.

    It is kept by the tenant whose rows it shows. HTML is never stored in Redis: write access there would be write
    access to the pages of the platform's people.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._bodies: dict[str, tuple[float, SafeString]] = {}

    def get(self, draw: Callable[[], SafeString], *, variant: str = "") -> SafeString:
        """Return the part as it was at most KEPT_SECONDS ago; ``variant`` says what of the viewer it depends on."""
        if not kept_seconds():
            return draw()
        key = f"{require_scope().tenant_id or 'all'}:{get_language()}:{variant}"
        kept = self._bodies.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            cache_asked.send(None, cache=self.name, place="memory", count=1)
            return kept[1]
        cache_asked.send(None, cache=self.name, place="database", count=1)
        body = draw()
        now = time.monotonic()
        # A dictionary of its own: other threads read the one before.
        self._bodies = {name: held for name, held in list(self._bodies.items()) if now < held[0]}
        self._bodies[key] = (now + KEPT_SECONDS, body)
        return body

    def clear(self) -> None:
        """Forget every part, so that the next request draws it."""
        self._bodies = {}


def tag_of(body: str) -> str:
    """The ETag of a part."""
    return quote_etag(hashlib.sha256(body.encode()).hexdigest()[:32])


def answer_part(request: HttpRequest, body: str) -> HttpResponseBase:
    """The part, or 304 when it is what the browser has already."""
    response = HttpResponse(body)
    response.headers["ETag"] = tag_of(body)
    response.headers["Cache-Control"] = "private, no-cache"
    return get_conditional_response(request, etag=response.headers["ETag"], response=response) or response
