"""Which webhooks are told of what happens to jobs."""

from __future__ import annotations

from collections.abc import Iterable

from scheduling.subscriptions.registry import Subscription
from workloads.webhooks.models import Webhook


def read_subscriptions() -> Iterable[Subscription]:
    """Those of all tenants, by one statement, behind the door of whoever asks."""
    for webhook in Webhook.objects.filter(events_since__isnull=False).only(
        "tenant_id", "events", "job_filter", "events_since"
    ):
        assert webhook.events_since is not None
        yield Subscription(
            tenant_id=webhook.tenant_id,
            target=webhook.pk,
            events=frozenset(webhook.events),
            filter_text=webhook.job_filter,
            since=webhook.events_since,
        )
