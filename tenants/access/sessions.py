"""Ends of console sessions: at their maximum age, after an idle time, or together with their account."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest
from django.utils import timezone

from tenants.database.platform_settings import platform_settings
from tenants.settings.tenancy_settings import SESSION_HOURS, SESSION_IDLE_HOURS

BEGAN_AT, SEEN_AT = "began_at", "seen_at"
# The Accept header with which a browser opens, and reopens, a stream.
EVENT_STREAM = "text/event-stream"
# Storing the time of every request would write the session each time.
_TOUCH_SECONDS = 60


def begin_session(sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """Store in the session the time at which it began (receiver of `user_logged_in`)."""
    if hasattr(request, "session"):
        request.session[BEGAN_AT] = request.session[SEEN_AT] = int(time.time())


def is_session_over(request: HttpRequest, stored: Mapping[str, Any]) -> bool:
    """Return whether the session has exceeded its maximum age or idle time; if not, store the time of this activity.

    ``stored`` are the settings of a member's tenant, which may shorten both. Requests that a page makes by itself, such
    as polling, are not activity.
    """
    now = int(time.time())
    began, seen = request.session.get(BEGAN_AT), request.session.get(SEEN_AT)
    if began is None or seen is None:
        # Begun before these times were stored: it counts from now.
        request.session[BEGAN_AT] = request.session[SEEN_AT] = now
        return False
    longest, idle = _lifetimes(stored)
    if now - began > longest or now - seen > idle:
        return True
    by_itself = "HX-Request" in request.headers or request.headers.get("Accept") == EVENT_STREAM
    if now - seen >= _TOUCH_SECONDS and not by_itself:
        request.session[SEEN_AT] = now
    return False


def _lifetimes(stored: Mapping[str, Any]) -> tuple[int, int]:
    """Return the seconds after which a session ends: since its log-in, and since its last activity."""
    return (
        _shortened(settings.SESSION_COOKIE_AGE, stored.get(SESSION_HOURS.key)),
        _shortened(platform_settings.SESSION_IDLE_SECONDS, stored.get(SESSION_IDLE_HOURS.key)),
    )


def _shortened(seconds: int, hours: Any) -> int:
    return min(seconds, hours * 3600) if isinstance(hours, int) else seconds


def end_sessions_of(user_id: Any) -> int:
    """Delete all sessions of an account. Return how many were deleted.

    The function reads all live sessions, because Django stores no index by user. That is acceptable for a rare action.
    """
    from django.contrib.sessions.models import Session  # this module is imported before models are loaded

    live = Session.objects.filter(expire_date__gt=timezone.now())
    keys = [row.pk for row in live.iterator() if row.get_decoded().get(SESSION_KEY) == str(user_id)]
    ended, _ = Session.objects.filter(pk__in=keys).delete()
    return int(ended)
