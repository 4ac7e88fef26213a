"""Finding a key by what is known of it."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Now

from tenants.context import all_tenants
from tenants.models import ApiKey


def find_api_key(prefix: str) -> ApiKey | None:
    """The key of that prefix, whosever it is."""
    with all_tenants():
        key: ApiKey | None = ApiKey.objects.filter(prefix=prefix).first()
    return key


def find_valid_key(key_id: UUID) -> ApiKey | None:
    """A key that is neither revoked nor, by the database's clock, expired; with its tenant and plan."""
    with all_tenants():
        keys = ApiKey.objects.select_related("tenant__plan").filter(Q(expires_at=None) | Q(expires_at__gt=Now()))
        key: ApiKey | None = keys.filter(pk=key_id, revoked_at=None).first()
    return key
