"""Limits on guessing passwords and API keys."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from redis import RedisError

from tenants.access.addresses import client_address
from tenants.cache.redis_guards import breaker_of
from tenants.database.platform_settings import platform_settings
from tenants.exceptions import KeyGuessingError

_MINUTE = 60
# Length of axes' column.
NAME_LIMIT = 255
# The request attribute that holds the lockout's length if it is not AXES_COOLOFF_TIME.
COOL_OFF = "login_cool_off"


def refuse_login(request: HttpRequest, response: Any, credentials: Any = None) -> HttpResponse:
    """Return the page, with status 429, for a locked user name; it is the same whether or not the name exists."""
    seconds = int(getattr(request, COOL_OFF, settings.AXES_COOLOFF_TIME).total_seconds())
    page = render(request, "tenants/admin/locked_out.html", {"minutes": max(1, seconds // _MINUTE)}, status=429)
    page.headers["Retry-After"] = str(seconds)
    return page


def name_tried(request: HttpRequest | None, credentials: Mapping[str, Any] | None = None) -> str | None:
    """Return the user name of a log-in attempt in the form that failures are counted by, or None if none was given.

    NUL bytes are removed, and the name is cut to the length of the column.
    """
    name = (credentials or {}).get("username") or (request.POST.get("username") if request is not None else None)
    return None if name is None else str(name).replace("\x00", "")[:NAME_LIMIT]


def count_wrong_key(request: HttpRequest) -> None:
    """Count a request with a wrong API key. Raise `KeyGuessingError` if its address exceeds the limit of this minute.

    Nothing is counted while the cache is unavailable.
    """
    limit = platform_settings.WRONG_KEYS_PER_MINUTE
    if limit <= 0:
        return
    breaker = breaker_of(str(settings.CACHES["default"]["LOCATION"]))
    if breaker.is_open():
        return
    name = f"wrong-keys:{client_address(request)}:{int(time.time()) // _MINUTE}"
    try:
        cache.add(name, 0, timeout=2 * _MINUTE)
        tries = cache.incr(name)
    except (RedisError, ValueError):
        breaker.note_failure()
        return
    breaker.note_success()
    if tries > limit:
        raise KeyGuessingError(retry_after_seconds=_MINUTE)
