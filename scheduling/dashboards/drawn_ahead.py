"""While somebody looks at the first page, the reader of its numbers draws its parts: whoever asks finds them drawn."""

from __future__ import annotations

import logging
import time

from django.db import InterfaceError, OperationalError, transaction
from django.utils.translation import get_language

from scheduling.dashboards.overview import keep_body, keep_shares
from scheduling.selectors.overview import Overview
from tenants.context import require_scope
from tenants.shared_cache import kept_seconds

logger = logging.getLogger(__name__)

# The numbers are read each second; the part outlives one reading that comes late.
BODY_KEPT_SECONDS = 2.5
SHARES_SECONDS, SHARES_KEPT_SECONDS = 4.0, 6.0
# Whose rows, and in which language: beyond so many the parts are drawn for whoever asks, as they are without a reader.
MOST_VIEWS = 10


class _Views:
    """The views that are drawn ahead, and when the shares of each were drawn last."""

    def __init__(self) -> None:
        self._seen_at: dict[str, float] = {}
        self._shares_at: dict[str, float] = {}

    def is_drawn(self, view: str, now: float) -> bool:
        """Whether there is room for it. Who has not been looked at for a while gives room."""
        self._seen_at = {name: at for name, at in self._seen_at.items() if now - at < SHARES_SECONDS}
        if view not in self._seen_at and len(self._seen_at) >= MOST_VIEWS:
            return False
        self._seen_at[view] = now
        return True

    def are_shares_due(self, view: str, now: float) -> bool:
        """Whether they are old."""
        self._shares_at = {name: at for name, at in self._shares_at.items() if now - at < SHARES_SECONDS}
        if view in self._shares_at:
            return False
        self._shares_at[view] = now
        return True


_views = _Views()


def draw_ahead(overview: Overview) -> None:
    """Draw the parts of the scope and language of the moment. Where that fails, they are drawn for whoever asks."""
    view, now = f"{require_scope().tenant_id}:{get_language()}", time.monotonic()
    if not kept_seconds() or not _views.is_drawn(view, now):
        return
    try:
        with transaction.atomic():
            keep_body(overview, seconds=BODY_KEPT_SECONDS)
            if _views.are_shares_due(view, now):
                keep_shares(seconds=SHARES_KEPT_SECONDS)
    except (OperationalError, InterfaceError):
        # The reader of the numbers knows what to do without a database.
        raise
    except Exception:
        logger.exception("console.not_drawn_ahead")
