"""The real rates of requests, for tests that mean them: the suite's own are far above what a test does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from jobsplatform import middleware
from scheduling.limits import rate_buckets
from tenants.context import all_tenants
from tenants.database.platform_settings import PlatformSettings
from tenants.limits.own import KEY_REQUESTS, SESSION_REQUESTS, TENANT_REQUESTS
from tenants.models import PlanLimit, Tenant
from tests.platform_settings import override_platform_settings


def default_rate(name: str) -> tuple[int, int]:
    """Return a rate's default as a deployment without settings has it: units a minute, and at once."""
    per_minute, burst = getattr(PlatformSettings(dict), f"{name.upper()}_REQUEST_RATE")
    return per_minute, burst


def give_real_rates(tenant: Tenant) -> None:
    """Have the tenant's plan allow its keys, people and all of them what the defaults are."""
    with all_tenants():
        for limits in (KEY_REQUESTS, SESSION_REQUESTS, TENANT_REQUESTS):
            for limit, value in zip((limits.per_minute, limits.burst), default_rate(limits.name), strict=True):
                PlanLimit.objects.update_or_create(plan=tenant.plan, key=limit.key, defaults={"value": value})


@contextmanager
def own_buckets() -> Iterator[None]:
    """Within it all buckets are full, and other test processes do not draw on them."""
    before = rate_buckets.KEY_PREFIX
    rate_buckets.KEY_PREFIX = f"{before}{uuid4()}:"
    middleware._refused_submitters.clear()
    try:
        yield
    finally:
        rate_buckets.KEY_PREFIX = before
        middleware._refused_submitters.clear()


@contextmanager
def real_anonymous_rate() -> Iterator[None]:
    """Within it an address has its default rate, with a full bucket."""
    with own_buckets(), override_platform_settings(ANONYMOUS_REQUEST_RATE=default_rate("anonymous")):
        yield
