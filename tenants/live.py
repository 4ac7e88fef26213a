"""Parts of a page that are asked for again: a tag over what they show, and 304 while it is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from tenants.context import require_scope
from tenants.shared_cache import SharedCache

# Parts that everybody sees alike are drawn once a second, however many look at them.
KEPT_SECONDS = 1.0


class KeptPart:
    """A part that is the same for all who see the same rows and read the same language.

    It is kept by whose rows it shows, so that nobody is shown another tenant's.
    """

    def __init__(self, name: str) -> None:
        self._kept = SharedCache(name, SafeString, seconds=KEPT_SECONDS)

    def get(self, draw: Callable[[], SafeString], *, variant: str = "") -> SafeString:
        """The part as it was at most two seconds ago, or was put for longer.

        ``variant`` says what of the viewer it depends on besides.
        """
        return self._kept.get(self._key(variant), draw)

    def put(self, body: SafeString, *, seconds: float, variant: str = "") -> None:
        """Answer with this for so long: somebody draws it again before that."""
        self._kept.put(self._key(variant), body, seconds=seconds)

    def _key(self, variant: str) -> str:
        return f"{require_scope().tenant_id or 'all'}:{get_language()}:{variant}"


def tag_of(body: str) -> str:
    """The ETag of a part."""
    return quote_etag(hashlib.sha256(body.encode()).hexdigest()[:32])


def answer_part(request: HttpRequest, body: str) -> HttpResponseBase:
    """The part, or 304 when it is what the browser has already."""
    response = HttpResponse(body)
    response.headers["ETag"] = tag_of(body)
    response.headers["Cache-Control"] = "private, no-cache"
    return get_conditional_response(request, etag=response.headers["ETag"], response=response) or response
