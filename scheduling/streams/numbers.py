"""The feed of numbers and parts: read once a second for each scope and language, however many tabs show them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from uuid import UUID

from django.utils import translation

from scheduling.streams.feeds import Feed
from scheduling.streams.messages import control_message
from scheduling.streams.subscriptions import NumbersSubscription, Part
from tenants.context import Scope, scope_context

# Of each second.
MOST_SECONDS = 0.3


class NumbersFeed(Feed[NumbersSubscription]):
    """Tells all tabs of a scope the same."""

    interval_seconds = 1.0

    def look(self, subscriptions: Sequence[NumbersSubscription]) -> None:
        """Read the numbers of each scope that somebody looks at; when all are told, draw and tell the parts.

        They are left for the next second where time is short: no tab waits for its numbers by them.
        """
        began = time.monotonic()
        alike: dict[tuple[UUID | None, str], list[NumbersSubscription]] = defaultdict(list)
        for each in subscriptions:
            alike[each.tenant_id, each.language].append(each)
        drawings: dict[tuple[UUID | None, str], Callable[[], Sequence[Part]]] = {}
        for (tenant_id, language), tabs in alike.items():
            with scope_context(Scope(tenant_id=tenant_id)), translation.override(language):
                numbers, drawings[tenant_id, language] = tabs[0].read()
            message = control_message("numbers", numbers)
            for tab in tabs:
                tab.offer([message])
        for (tenant_id, language), draw in drawings.items():
            if time.monotonic() - began > MOST_SECONDS:
                return
            with scope_context(Scope(tenant_id=tenant_id)), translation.override(language):
                parts = draw()
            for part in parts:
                _tell(part, alike[tenant_id, language])


def _tell(part: Part, tabs: Sequence[NumbersSubscription]) -> None:
    message = control_message("part", {"name": part.name, "tag": part.tag, "body": part.body})
    for tab in tabs:
        if part.variant in {None, tab.variant}:
            tab.offer([message])


feed = NumbersFeed()
