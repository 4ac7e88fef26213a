"""Limits that the tenants app declares: API keys."""

from __future__ import annotations

from typing import Final

from tenants.limits import Limit, Span

API_KEYS: Final = Limit(
    key="api_keys",
    title="API keys",
    unit="keys",
    counts="API keys of the tenant that are neither revoked nor expired.",
    span=Span.NOW,
    enforced_at="issue",
    default=50,
)
LIMITS: Final = (API_KEYS,)
