"""The feed of numbers: read once a second for each scope and language, however many tabs show them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from django.utils import translation

from scheduling.streams.feeds import Feed
from scheduling.streams.messages import control_message
from scheduling.streams.subscriptions import NumbersSubscription
from tenants.context import Scope, scope_context


class NumbersFeed(Feed[NumbersSubscription]):
    """Tells all tabs of a scope the same."""

    interval_seconds = 1.0

    def look(self, subscriptions: Sequence[NumbersSubscription]) -> None:
        """Read the numbers of each scope that somebody looks at."""
        alike: dict[tuple[UUID | None, str], list[NumbersSubscription]] = defaultdict(list)
        for each in subscriptions:
            alike[each.tenant_id, each.language].append(each)
        for (tenant_id, language), tabs in alike.items():
            with scope_context(Scope(tenant_id=tenant_id)), translation.override(language):
                message = control_message("numbers", tabs[0].read())
            for tab in tabs:
                tab.offer([message])


feed = NumbersFeed()
