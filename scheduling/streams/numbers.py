"""The feed of numbers: read once a second for each scope and language, however many tabs show them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from uuid import UUID

from django.utils import translation

from scheduling.streams.feeds import Feed
from scheduling.streams.messages import control_message
from scheduling.streams.subscriptions import NumbersSubscription
from tenants.context import Scope, scope_context

# Of each second.
MOST_SECONDS = 0.3


class NumbersFeed(Feed[NumbersSubscription]):
    """Tells all tabs of a scope the same."""

    interval_seconds = 1.0

    def look(self, subscriptions: Sequence[NumbersSubscription]) -> None:
        """Read the numbers of each scope that somebody looks at; when all are told, do what is to be done after that.

        That is left for the next second where time is short: no tab waits for its numbers by it.
        """
        began = time.monotonic()
        alike: dict[tuple[UUID | None, str], list[NumbersSubscription]] = defaultdict(list)
        for each in subscriptions:
            alike[each.tenant_id, each.language].append(each)
        afterwards: dict[tuple[UUID | None, str], Callable[[], None]] = {}
        for (tenant_id, language), tabs in alike.items():
            with scope_context(Scope(tenant_id=tenant_id)), translation.override(language):
                numbers, afterwards[tenant_id, language] = tabs[0].read()
            message = control_message("numbers", numbers)
            for tab in tabs:
                tab.offer([message])
        for (tenant_id, language), act in afterwards.items():
            if time.monotonic() - began > MOST_SECONDS:
                return
            with scope_context(Scope(tenant_id=tenant_id)), translation.override(language):
                act()


feed = NumbersFeed()
