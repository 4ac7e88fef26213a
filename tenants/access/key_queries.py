"""Queries for API keys: by prefix, by id, and the keys that expire soon."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from tenants.context import all_tenants
from tenants.models import ApiKey

# How long before its end a key's owners are warned.
WARNED_BEFORE: Final = timedelta(days=14)


def find_api_key(prefix: str) -> ApiKey | None:
    """Return the key with that prefix from any tenant, or None."""
    with all_tenants():
        key: ApiKey | None = ApiKey.objects.filter(prefix=prefix).first()
    return key


def find_valid_key(key_id: UUID) -> ApiKey | None:
    """Return the key with its tenant and plan, or None if it is unknown, revoked or expired by the database's clock."""
    return find_valid_keys({key_id}).get(key_id)


def find_valid_keys(key_ids: Collection[UUID]) -> dict[UUID, ApiKey]:
    """Return those of the keys that are neither revoked nor expired, with tenant and plan, keyed by id."""
    if not key_ids:
        return {}
    with all_tenants():
        keys = ApiKey.objects.select_related("tenant__plan").filter(Q(expires_at=None) | Q(expires_at__gt=Now()))
        return {key.pk: key for key in keys.filter(pk__in=key_ids, revoked_at=None)}


def ending_keys(now: datetime) -> QuerySet[ApiKey, Any]:
    """Return the keys of the current scope that are valid and expire within WARNED_BEFORE, the earliest first."""
    ending = ApiKey.objects.filter(revoked_at=None, expires_at__gt=now, expires_at__lte=now + WARNED_BEFORE)
    return ending.order_by("expires_at", "pk")
