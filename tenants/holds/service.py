"""Services that place and release legal holds, and what every deletion checks before it deletes.

A deletion takes the lock of holds in shared mode and reads the holds after it, in its own transaction; a new hold takes
the lock alone. So nothing of the tenant is deleted after its hold has been committed.
"""

from __future__ import annotations

from uuid import UUID

from django.db.models import Model, QuerySet
from django.db.models.functions import Now

from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.reads import first_or_raise
from tenants.exceptions import LegalHoldError, LegalHoldNotFoundError, LegalHoldReleasedError
from tenants.models import AuditRemoval, LegalHold, Tenant
from tenants.tenancy.pausing import actor_words, require_reason


def place_hold(*, tenant: Tenant, reason: str) -> LegalHold:
    """Place a legal hold on a tenant; wait until deletions that have begun are committed.

    Raise `ReasonRequiredError`. The auditor's requests to remove entries of the tenant's audit log are withdrawn.
    """
    kept = require_reason(reason)
    with all_tenants():
        LockClass.LEGAL_HOLDS.hold()
        hold = LegalHold.objects.create(tenant=tenant, reason=kept, placed_by=actor_words())
        AuditRemoval.objects.filter(chain=tenant.pk, done_at=None).delete()
        hold.refresh_from_db()
        record_audit(action="legal_hold.placed", target=hold, after={"reason": kept}, reason=kept)
    return hold


def release_hold(*, hold_id: UUID, reason: str) -> LegalHold:
    """Release a legal hold; retention and erasures continue unless the tenant has another.

    Raise `LegalHoldNotFoundError`, `LegalHoldReleasedError` or `ReasonRequiredError`.
    """
    kept = require_reason(reason)
    with all_tenants():
        rows = LegalHold.objects.select_for_update(no_key=True, of=("self",)).select_related("tenant")
        hold = first_or_raise(rows.filter(pk=hold_id), LegalHoldNotFoundError)
        if hold.released_at is not None:
            raise LegalHoldReleasedError
        rows.filter(pk=hold.pk).update(released_at=Now(), released_by=actor_words())
        hold.refresh_from_db(fields=["released_at", "released_by"])
        record_audit(action="legal_hold.released", target=hold, after={"reason": kept}, reason=kept)
    return hold


def list_held() -> list[UUID]:
    """Return the ids of the tenants with a hold; none is added until the transaction ends.

    Call it first in the transaction of a deletion over all tenants.
    """
    LockClass.LEGAL_HOLDS.share()
    return list(LegalHold.objects.filter(released_at=None).values_list("tenant", flat=True).distinct())


def without_held[RowT: Model](rows: QuerySet[RowT]) -> QuerySet[RowT]:
    """Return the rows of a queryset without those of tenants with a hold; take the lock as `list_held` does."""
    return rows.exclude(tenant__in=list_held())


def find_hold(tenant_id: UUID) -> LegalHold | None:
    """Return the oldest hold of a tenant, or None; no hold is added until the transaction ends."""
    LockClass.LEGAL_HOLDS.share()
    return LegalHold.objects.filter(tenant=tenant_id, released_at=None).order_by("pk").first()


def refuse_if_held(tenant_id: UUID) -> None:
    """Raise `LegalHoldError` if the tenant has a hold."""
    if (hold := find_hold(tenant_id)) is not None:
        raise LegalHoldError(
            "Legal hold %(hold)s keeps the tenant's data: %(reason)s. Release the hold first.",
            {"hold": hold.pk, "reason": hold.reason},
        )
