"""How long a log-in lasts: not beyond its greatest age, not beyond an idle time, and not beyond its account."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest
from django.utils import timezone

from tenants.database.platform_settings import platform_settings

BEGAN_AT, SEEN_AT = "began_at", "seen_at"
# What a browser asks for when it opens a stream, and again whenever it was cut off.
EVENT_STREAM = "text/event-stream"
# Writing the time of every request would make each of them write its session.
_TOUCH_SECONDS = 60


def begin_session(sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """Receiver of `user_logged_in`: the session has a new key by now, and counts from here."""
    if hasattr(request, "session"):
        request.session[BEGAN_AT] = request.session[SEEN_AT] = int(time.time())


def is_session_over(request: HttpRequest) -> bool:
    """Whether the session is too old or was idle for too long. A part that a page asks for by itself is no activity."""
    now = int(time.time())
    began, seen = request.session.get(BEGAN_AT), request.session.get(SEEN_AT)
    if began is None or seen is None:
        # Begun before sessions knew their age: it counts from now.
        request.session[BEGAN_AT] = request.session[SEEN_AT] = now
        return False
    if now - began > settings.SESSION_COOKIE_AGE or now - seen > platform_settings.SESSION_IDLE_SECONDS:
        return True
    by_itself = "HX-Request" in request.headers or request.headers.get("Accept") == EVENT_STREAM
    if now - seen >= _TOUCH_SECONDS and not by_itself:
        request.session[SEEN_AT] = now
    return False


def end_sessions_of(user_id: Any) -> int:
    """End all log-ins of an account and say how many there were. Rare enough to read all live sessions for it."""
    from django.contrib.sessions.models import Session  # this module is imported before models are loaded

    live = Session.objects.filter(expire_date__gt=timezone.now())
    keys = [row.pk for row in live.iterator() if row.get_decoded().get(SESSION_KEY) == str(user_id)]
    ended, _ = Session.objects.filter(pk__in=keys).delete()
    return int(ended)
