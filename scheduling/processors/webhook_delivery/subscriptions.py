"""Which webhooks are told of what happens to jobs."""

from __future__ import annotations

from collections.abc import Iterable

from scheduling.processors.webhook_delivery.models import Webhook
from scheduling.services.subscriptions.registry import Subscription


def read_subscriptions() -> Iterable[Subscription]:
    """Those of all tenants, by one statement, behind the door of whoever asks."""
    rows = Webhook.objects.filter(events_since__isnull=False)
    for tenant_id, webhook_id, events, job_filter, since in rows.values_list(
        "tenant_id", "pk", "events", "job_filter", "events_since"
    ):
        yield Subscription(
            tenant_id=tenant_id, target=webhook_id, events=frozenset(events), filter_text=job_filter, since=since
        )
