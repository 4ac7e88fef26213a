"""Requests for the erasure of a tenant, and their cancellation during the grace period."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from tenants.approvals.service import require_approval
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.database.platform_settings import platform_settings
from tenants.exceptions import ErasureNotFoundError, ErasureOpenError, ErasureRefusedError
from tenants.holds.service import refuse_if_held
from tenants.models import ErasureStatus, Tenant, TenantErasure, TenantStatus
from tenants.tenancy.pausing import actor_words, require_reason
from tenants.translation import LocalizableText


def request_erasure(*, tenant: Tenant, reason: str, confirm: str) -> TenantErasure:
    """Request the erasure of a suspended tenant. It starts after the grace period. `confirm` must be the tenant's slug.

    Raise `ErasureRefusedError` if it is not, or if the tenant is not suspended; `LegalHoldError` if it has a hold;
    `ErasureOpenError` if an erasure of the tenant is already pending or running; `ApprovalRequiredError`.
    """
    kept = require_reason(reason)
    with all_tenants():
        locked = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        if confirm != locked.slug:
            raise ErasureRefusedError("Enter the tenant's slug to confirm.")
        if locked.status != TenantStatus.SUSPENDED:
            raise ErasureRefusedError("Only a suspended tenant can be erased; suspend it first.")
        refuse_if_held(locked.pk)
        require_approval(
            "erasure",
            {"tenant": str(locked.pk), "reason": kept},
            preview=gettext("Erase the tenant %(slug)s: %(reason)s") % {"slug": locked.slug, "reason": kept},
            tenant_id=locked.pk,
        )
        now = read_moment()
        # A suspension that ended by itself would admit the tenant during its erasure.
        Tenant.objects.filter(pk=locked.pk).update(suspended_until=None)
        erasure = TenantErasure(
            subject_id=locked.pk,
            slug_sha256=hash_slug(locked.slug),
            reason=kept,
            requested_by=actor_words(),
            starts_at=now + timedelta(seconds=platform_settings.ERASURE_GRACE_SECONDS),
        )
        try:
            with transaction.atomic():
                erasure.save(force_insert=True)
        except IntegrityError as error:
            raise ErasureOpenError("The erasure of this tenant was already requested.") from error
        record_erasure(erasure, "tenant.erasure_requested", reason=kept)
    return erasure


def cancel_erasure(*, erasure_id: UUID, reason: str) -> TenantErasure:
    """Cancel a pending erasure; the tenant stays suspended.

    Raise `ErasureNotFoundError` if there is no such erasure, `ErasureRefusedError` if it is no longer pending.
    """
    kept = require_reason(reason)
    with all_tenants():
        erasure = TenantErasure.objects.select_for_update(no_key=True).filter(pk=erasure_id).first()
        if erasure is None:
            raise ErasureNotFoundError
        if erasure.status != ErasureStatus.PENDING:
            raise ErasureRefusedError(
                "An erasure in state %(status)s cannot be cancelled.", {"status": LocalizableText(erasure.status)}
            )
        erasure.status, erasure.cancelled_by = ErasureStatus.CANCELLED, actor_words()
        erasure.save(update_fields=["status", "cancelled_by"])
        record_erasure(erasure, "tenant.erasure_cancelled", reason=kept)
    return erasure


def record_erasure(erasure: TenantErasure, action: str, *, reason: str = "", **facts: object) -> None:
    """Write an audit entry about an erasure to the platform's chain, because the tenant's own entries are deleted."""
    target = AuditTarget("tenants.tenanterasure", str(erasure.pk))
    record_audit(action=action, target=target, after={"subject_id": str(erasure.subject_id), **facts}, reason=reason)


def hash_slug(slug: str) -> str:
    """Return the SHA-256 of a tenant's slug, as the erasure's record stores it."""
    return hashlib.sha256(slug.encode()).hexdigest()
