"""Numbers of pending messages by tenant, which submissions compare with a limit."""

from __future__ import annotations

import time

from scheduling.dispatch.leadership import try_to_lead
from scheduling.limits.declared import OUTBOX_PENDING
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql
from tenants.limits.declared import NO_PERIOD
from tenants.limits.usage import warn_of_usage

_COUNT = load_sql(__file__)["count_pending"]
COUNT_SECONDS = 5.0


class PendingCounter:
    """Count of the pending messages, every five seconds until there are none; a process begins with one count."""

    def __init__(self) -> None:
        self._is_counting, self._due_at = True, 0.0

    def take_turn(self, *, has_pending: bool) -> None:
        """Count if it is due, and warn tenants that come near their limit. One dispatcher at a time does this."""
        if not (has_pending or self._is_counting) or time.monotonic() < self._due_at:
            return
        with all_tenants():
            if not try_to_lead(LockClass.OUTBOX):
                return
            row = fetch_one(_COUNT, {"key": OUTBOX_PENDING.key, "period": NO_PERIOD})
            if row.changed:
                warn_of_usage(row.changed)
        self._is_counting, self._due_at = row.total > 0, time.monotonic() + COUNT_SECONDS
