"""Overrides of a tenant's limits. Each change requires a reason and applies at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import DateField
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError
from tenants.limits.declared import MAX_LIMIT_VALUE, Limit, get_limit
from tenants.limits.usage import MONTH, warn_of_usage
from tenants.models import LimitWarning, Tenant, TenantLimit
from tenants.signals import tenant_scheduling_changed
from tenants.tenancy.pausing import check_until, require_reason
from tenants.tenancy.service import update_tenant

# Bounds on one run of the dispatcher's duty.
MAX_EXPIRED = 50
MAX_RELEASED = 1_000


def set_tenant_limit(
    *, tenant: Tenant, key: str, value: int, reason: str, expires_at: datetime | None = None
) -> TenantLimit | None:
    """Override one limit for the tenant until `expires_at` or until it is cleared. Return the override.

    A limit with a column of the tenant is written to the tenant instead; then None is returned, and `expires_at` is
    refused. Raise `LimitUnknownError`, `ReasonRequiredError` or `FieldInvalidError` for an invalid argument.
    """
    limit = get_limit(key)
    reason = require_reason(reason)
    if limit.is_of_plan_alone:
        raise FieldInvalidError("key: Only a plan can set %(key)s.", {"key": key})
    _check_value(limit, value, expires_at)
    if limit.tenant_column:
        update_tenant(tenant=tenant, changes={limit.tenant_column: value}, reason=reason)
        return None
    with all_tenants():
        before = TenantLimit.objects.select_for_update(no_key=True).filter(tenant=tenant, key=key).first()
        override, _ = TenantLimit.objects.update_or_create(
            tenant=tenant, key=key, defaults={"value": value, "reason": reason, "expires_at": expires_at}
        )
        record_audit(
            action="tenant.limit_set",
            target=tenant,
            before=_facts(before) if before else {"key": key, "value": None},
            after=_facts(override),
            reason=reason,
        )
        _announce([tenant.pk])
    return override


def clear_tenant_limit(*, tenant: Tenant, key: str, reason: str) -> bool:
    """Clear a tenant's override of a limit. Return whether there was one."""
    limit = get_limit(key)
    reason = require_reason(reason)
    if limit.tenant_column:
        was_set = getattr(tenant, limit.tenant_column) is not None
        update_tenant(tenant=tenant, changes={limit.tenant_column: None}, reason=reason)
        return was_set
    with all_tenants():
        before = TenantLimit.objects.select_for_update(no_key=True).filter(tenant=tenant, key=key).first()
        if before is None:
            return False
        record_audit(action="tenant.limit_cleared", target=tenant, before=_facts(before), reason=reason)
        before.delete()
        _announce([tenant.pk])
    return True


def expire_tenant_limits() -> int:
    """Delete up to MAX_EXPIRED expired overrides. Return how many were deleted. Call it in the scope of all tenants."""
    expired = list(
        TenantLimit.objects.select_for_update(no_key=True, skip_locked=True)
        .filter(expires_at__lte=Now())
        .order_by("expires_at")[:MAX_EXPIRED]
    )
    for override in expired:
        target = AuditTarget("tenants.tenant", str(override.tenant_id), override.tenant_id)
        record_audit(action="tenant.limit_expired", target=target, before=_facts(override))
    TenantLimit.objects.filter(pk__in=[override.pk for override in expired]).delete()
    _announce([override.tenant_id for override in expired])
    return len(expired)


def release_ended_periods() -> int:
    """Notify the scheduler of tenants that had used up a limit in a month that has ended, so that their jobs run again.

    Return the number of tenants. Call it in the scope of all tenants.
    """
    # By the database's clock: released too early, a tenant would be found held, and not be checked again.
    this_month = RawSQL(MONTH, [], output_field=DateField())  # noqa: S611 - a constant
    over = LimitWarning.objects.filter(percent=100, is_released=False, period__lt=this_month)
    held = list(
        over.select_for_update(no_key=True, skip_locked=True).values_list("tenant_id", "key", "period")[:MAX_RELEASED]
    )
    tenant_ids = sorted({tenant_id for tenant_id, _, _ in held})
    over.filter(tenant_id__in=tenant_ids).update(is_released=True)
    if tenant_ids:
        tenant_scheduling_changed.send(sender=LimitWarning, tenant_ids=tenant_ids)
    return len(tenant_ids)


def _announce(tenant_ids: Sequence[UUID]) -> None:
    if tenant_ids:
        tenant_scheduling_changed.send(sender=TenantLimit, tenant_ids=list(tenant_ids))


def warn_after_change(*, tenant_ids: Sequence[UUID], **_: object) -> None:
    """Warn tenants of limits that they have reached because of a changed plan or override.

    It is a receiver of `tenant_scheduling_changed`.
    """
    warn_of_usage(tenant_ids)


def _check_value(limit: Limit, value: int, expires_at: datetime | None) -> None:
    if not 0 <= value <= MAX_LIMIT_VALUE:
        raise FieldInvalidError("value: It must be between 0 and %(greatest)s.", {"greatest": MAX_LIMIT_VALUE})
    if expires_at is None:
        return
    if limit.tenant_column:
        raise FieldInvalidError("expires_at: An override of %(key)s does not expire.", {"key": limit.key})
    check_until(expires_at, field="expires_at")


def _facts(override: TenantLimit) -> dict[str, str | int | None]:
    expires_at = override.expires_at
    return {
        "key": override.key,
        "value": override.value,
        "expires_at": None if expires_at is None else expires_at.isoformat(),
    }
