"""Parts of a page that are asked for again: a tag over what they show, and 304 while it is the same."""

from __future__ import annotations

import hashlib

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag


def tag_of(body: str) -> str:
    """The ETag of a part."""
    return quote_etag(hashlib.sha256(body.encode()).hexdigest()[:32])


def answer_part(request: HttpRequest, body: str) -> HttpResponseBase:
    """The part, or 304 when it is what the browser has already."""
    response = HttpResponse(body)
    response.headers["ETag"] = tag_of(body)
    response.headers["Cache-Control"] = "private, no-cache"
    return get_conditional_response(request, etag=response.headers["ETag"], response=response) or response
