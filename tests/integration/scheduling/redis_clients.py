"""Redis clients of this process, for tests that point it to another server."""

from __future__ import annotations

from scheduling.dispatch import broker, broker_probes
from scheduling.limits import rate_buckets
from tenants.cache import shared_cache


def forget_clients() -> None:
    """Drop the clients, so that the next use of Redis connects to the address of that moment."""
    clients = (broker.client, broker.impatient_client, broker_probes.watching_client)
    for kept in (*clients, rate_buckets._script, shared_cache._shared):
        kept.cache_clear()
    broker_probes._outage = 0.0, ""
    rate_buckets._outage.__init__()  # type: ignore[misc]
    broker.notifier.reset()
