"""Adaptive admission: a process runs only as many submissions and searches at once as it can without delaying them.

Each class has a limit of concurrent requests that follows the measured latency: it grows by one a round while requests
take about as long as usual, and shrinks by a tenth while they take several times as long. While a load state is above
normal, requests beyond it are refused at once, so that the other threads of the process remain free for health checks,
the console and refusals. Without load, a few slow requests are no reason to refuse others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponseBase

from scheduling.load.exceptions import OverloadedError
from scheduling.load.queries import current_load
from tenants.api.problems import problem_response
from tenants.url_prefixes import API_PREFIX

logger = logging.getLogger(__name__)

# Beyond every number of threads of a process: a limit that has not shrunk refuses nothing.
MOST = 64.0
LEAST = 1.0
# Latency counts as raised beyond this multiple of the usual one, and never below this time.
RAISED, CALM_SECONDS = 4.0, 0.1
# The usual latency is the lowest smoothed one of this time at least, and of twice this time at most.
REMEMBERED_SECONDS = 60.0
SMOOTHED_OVER = 8
SHRINKS_BY = 0.9


class AdaptiveLimit:
    """Limit of the requests of one class that run at once, by additive increase and multiplicative decrease."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = MOST
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._smoothed = 0.0
        self._lowest = [float("inf"), float("inf")]
        self._turned_at = clock()

    def enter(self, *, anyway: bool = False) -> bool:
        """Admit a request; return False if as many run as the limit allows, unless it is to run anyway."""
        with self._lock:
            if self._running >= self.limit and not anyway:
                return False
            self._running += 1
            return True

    def leave(self, seconds: float) -> None:
        """Note the end of an admitted request and how long it took."""
        with self._lock:
            running, self._running = self._running, self._running - 1
            self._smoothed += (seconds - self._smoothed) / SMOOTHED_OVER if self._smoothed else seconds
            if self._is_raised():
                # A limit above what runs says nothing: it shrinks from there, by a tenth a round of requests.
                most = min(self.limit, float(running))
                self.limit = max(LEAST, most - (1 - SHRINKS_BY))
            else:
                self.limit = min(MOST, self.limit + 1 / self.limit)

    def _is_raised(self) -> bool:
        if (now := self._clock()) - self._turned_at > REMEMBERED_SECONDS:
            self._lowest, self._turned_at = [self._lowest[1], float("inf")], now
        self._lowest[1] = min(self._lowest[1], self._smoothed)
        return self._smoothed > max(CALM_SECONDS, RAISED * min(self._lowest))


class AdmissionMiddleware:
    """Middleware that refuses submissions and searches beyond what this process runs without delay."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._limits: Mapping[str, AdaptiveLimit] = {"submit": AdaptiveLimit(), "search": AdaptiveLimit()}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        limit = self._limits.get(class_of(request))
        if limit is None:
            return self.get_response(request)
        if not limit.enter():
            if _is_loaded():
                return problem_response(OverloadedError(retry_after_seconds=2))
            limit.enter(anyway=True)
        began = time.monotonic()
        try:
            return self.get_response(request)
        finally:
            limit.leave(time.monotonic() - began)


def _is_loaded() -> bool:
    """Return whether any load state is above normal, or cannot be read."""
    try:
        return bool(current_load().levels)
    except (DatabaseError, InterfaceError):
        logger.warning("admission.load_not_read", exc_info=True)
        return True


def class_of(request: HttpRequest) -> str:
    """Return "submit" or "search" for a request of the API that submits jobs or searches, else an empty text."""
    path = request.path_info
    if not path.startswith(API_PREFIX):
        return ""
    if request.method == "POST" and path.endswith(("/jobs/", "/jobs/bulk/")):
        return "submit"
    is_search = path.endswith(("/search/", "/logs/", "/logs/summary/")) or "q" in request.GET
    return "search" if is_search else ""
