"""Parts of the first page that the reader of its numbers draws every five seconds for all tabs that have its stream.

A tab that is sent them does not poll.
"""

from __future__ import annotations

import logging
import time
from math import inf

from django.db import InterfaceError, OperationalError, transaction
from django.utils.translation import get_language

from scheduling.dashboards.overview import draw_bodies, draw_shares
from scheduling.selectors.overview import Overview
from scheduling.streams.subscriptions import Part
from tenants.context import require_scope
from tenants.live import tag_of

logger = logging.getLogger(__name__)

TOLD_SECONDS = 5.0
# Whose rows, and in which language: beyond so many the parts are drawn for whoever asks, as they are without a reader.
MOST_VIEWS = 10


class _Views:
    """The views that are drawn ahead, and when each part of each was last done."""

    def __init__(self) -> None:
        self._seen_at: dict[str, float] = {}
        self._done_at: dict[tuple[str, str], float] = {}

    def is_drawn(self, view: str, now: float) -> bool:
        """Whether there is room for it. Who has not been looked at for a while gives room."""
        self._seen_at = {name: at for name, at in self._seen_at.items() if now - at < TOLD_SECONDS}
        if view not in self._seen_at and len(self._seen_at) >= MOST_VIEWS:
            return False
        self._seen_at[view] = now
        return True

    def is_due(self, view: str, part: str, seconds: float, now: float) -> bool:
        """Whether it was last done so many seconds ago."""
        self._done_at = {key: at for key, at in self._done_at.items() if key[0] in self._seen_at}
        # The reader comes each second, now and then a little early.
        if now - self._done_at.get((view, part), -inf) < seconds - 0.5:
            return False
        self._done_at[view, part] = now
        return True


_views = _Views()


def draw_ahead(overview: Overview) -> list[Part]:
    """Draw the parts of the scope and language of the moment, and give those that are to be told.

    Where that fails, they are drawn for whoever asks.
    """
    view, now = f"{require_scope().tenant_id}:{get_language()}", time.monotonic()
    told: list[Part] = []
    if not _views.is_drawn(view, now):
        return told
    try:
        with transaction.atomic():
            if _views.is_due(view, "overview", TOLD_SECONDS, now):
                bodies = draw_bodies(overview)
                told += [Part("overview", body, tag_of(body), variant) for variant, body in bodies.items()]
            if _views.is_due(view, "shares", TOLD_SECONDS, now):
                body = draw_shares()
                told.append(Part("shares", body, tag_of(body)))
    except (OperationalError, InterfaceError):
        # The reader of the numbers knows what to do without a database.
        raise
    except Exception:
        logger.exception("console.not_drawn_ahead")
    return told
