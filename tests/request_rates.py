"""Real request rates for tests of them; the suite's own rates are far above what tests need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from jobsplatform import middleware
from scheduling.limits import rate_buckets
from tenants.context import all_tenants
from tenants.database.platform_settings import PlatformSettings
from tenants.limits.tenancy_limits import KEY_REQUESTS, SESSION_REQUESTS, TENANT_REQUESTS
from tenants.models import PlanLimit, Tenant
from tests.platform_settings import override_platform_settings


def default_rate(name: str) -> tuple[int, int]:
    """Return a rate's default: units a minute, and burst."""
    per_minute, burst = getattr(PlatformSettings(dict), f"{name.upper()}_REQUEST_RATE")
    return per_minute, burst


def give_real_rates(tenant: Tenant) -> None:
    """Set the default rates in the tenant's plan for its keys, its users and the whole tenant."""
    with all_tenants():
        for limits in (KEY_REQUESTS, SESSION_REQUESTS, TENANT_REQUESTS):
            for limit, value in zip((limits.per_minute, limits.burst), default_rate(limits.name), strict=True):
                PlanLimit.objects.update_or_create(plan=tenant.plan, key=limit.key, defaults={"value": value})


@contextmanager
def own_buckets() -> Iterator[None]:
    """Run the block with full buckets that other test processes do not use."""
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
    """Run the block with an address's default rate and a full bucket."""
    with own_buckets(), override_platform_settings(ANONYMOUS_REQUEST_RATE=default_rate("anonymous")):
        yield
