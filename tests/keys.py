"""API keys of tests, by default with a developer's scopes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tenants.access import api_keys
from tenants.access.permissions import DEVELOPER_KEY_SCOPES
from tenants.models import Tenant


def issue_api_key(
    *, tenant: Tenant, name: str, scopes: Iterable[str] | None = None, **options: Any
) -> api_keys.IssuedKey:
    """Issue a key with the scopes, by default all of a developer's rights that a key can have."""
    wanted = DEVELOPER_KEY_SCOPES if scopes is None else scopes
    return api_keys.issue_api_key(tenant=tenant, name=name, scopes=wanted, **options)
