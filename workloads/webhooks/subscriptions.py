"""The subscriptions of webhooks to events of jobs."""

from __future__ import annotations

from collections.abc import Iterable

from scheduling.subscriptions.registry import EventSubscription
from workloads.webhooks.models import Webhook


def read_subscriptions() -> Iterable[EventSubscription]:
    """Yield the subscriptions of all webhooks that the current scope can see, read with one statement."""
    for webhook in Webhook.objects.filter(events_since__isnull=False).only(
        "tenant_id", "events", "job_filter", "events_since"
    ):
        assert webhook.events_since is not None
        yield EventSubscription(
            tenant_id=webhook.tenant_id,
            target=webhook.pk,
            events=frozenset(webhook.events),
            filter_text=webhook.job_filter,
            since=webhook.events_since,
        )
