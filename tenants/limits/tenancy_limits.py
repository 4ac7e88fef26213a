"""The limits that the tenants app declares: on API keys and on request rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext_noop

from tenants.database.platform_settings import platform_settings
from tenants.limits.declared import Limit, LimitPeriod

API_KEYS: Final = Limit(
    key="api_keys",
    title=gettext_noop("API keys"),
    unit=gettext_noop("keys"),
    counts=gettext_noop("API keys of the tenant that are neither revoked nor expired."),
    span=LimitPeriod.NOW,
    enforced_at="issue",
    default=50,
)


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The two limits of a token bucket for requests: its refill rate per minute and its capacity."""

    name: str
    per_minute: Limit
    burst: Limit


def _request_limits(name: str, titles: tuple[str, str], counts: tuple[str, str]) -> RequestLimits:
    per_minute, burst = getattr(platform_settings, f"{name.upper()}_REQUEST_RATE")
    return RequestLimits(
        name,
        Limit(
            f"{name}_requests_per_minute",
            titles[0],
            gettext_noop("units/min"),
            counts[0],
            LimitPeriod.MINUTE,
            "request",
            per_minute,
        ),
        Limit(f"{name}_request_burst", titles[1], gettext_noop("units"), counts[1], LimitPeriod.NOW, "request", burst),
    )


KEY_REQUESTS: Final = _request_limits(
    "key",
    (gettext_noop("Requests of an API key per minute"), gettext_noop("Request burst of an API key")),
    (
        gettext_noop("Maximum cost of one API key's requests per minute."),
        gettext_noop("Maximum cost of a burst after idle time."),
    ),
)
SESSION_REQUESTS: Final = _request_limits(
    "session",
    (gettext_noop("Requests of a person per minute"), gettext_noop("Request burst of a person")),
    (
        gettext_noop("Maximum cost of one person's requests per minute."),
        gettext_noop("Maximum cost of a burst after idle time."),
    ),
)
TENANT_REQUESTS: Final = _request_limits(
    "tenant",
    (gettext_noop("Requests per minute"), gettext_noop("Request burst")),
    (
        gettext_noop("Maximum cost of all the tenant's requests per minute."),
        gettext_noop("Maximum cost of a burst after idle time."),
    ),
)
REQUEST_LIMITS: Final = tuple(
    limit for rate in (KEY_REQUESTS, SESSION_REQUESTS, TENANT_REQUESTS) for limit in (rate.per_minute, rate.burst)
)
LIMITS: Final = (API_KEYS, *REQUEST_LIMITS)
