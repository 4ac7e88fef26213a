"""The limit on the number of a tenant's API keys."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from tenants.database.locks import LockClass
from tenants.limits.declared import LimitReached
from tenants.limits.errors import ApiKeyLimitError
from tenants.limits.tenancy_limits import API_KEYS
from tenants.limits.usage import EffectiveLimit, allowed_for
from tenants.limits.usage_queries import Measured
from tenants.models import ApiKey


def check_key_count(tenant_id: UUID) -> None:
    """Raise `ApiKeyLimitError` if the tenant has as many valid API keys as its limit allows.

    Call it in the tenant's scope. An advisory lock on the tenant's key count is held until the transaction ends.
    """
    LockClass.API_KEY_COUNT.hold(str(tenant_id))
    allowed = allowed_for(tenant_id, API_KEYS)
    used = _valid_keys(tenant_id).count()
    if allowed is not None and used >= allowed:
        raise ApiKeyLimitError(
            "The plan allows %(allowed)s API keys. Revoke an unused key or change the plan.",
            {"allowed": f"{allowed:,}"},
            limit=LimitReached(API_KEYS.key, API_KEYS.unit, allowed, used),
        )


def measure_usage(tenant_id: UUID, limits: dict[str, EffectiveLimit]) -> dict[str, Measured]:
    """Return the number of the tenant's valid keys as its usage of the limit on keys. Rotated keys are not counted."""
    return {API_KEYS.key: Measured(_valid_keys(tenant_id).count())}


def _valid_keys(tenant_id: UUID) -> QuerySet[ApiKey]:
    is_in_time = Q(expires_at=None) | Q(expires_at__gt=Now())
    return ApiKey.objects.filter(is_in_time, tenant_id=tenant_id, revoked_at=None, rotated_at=None)
