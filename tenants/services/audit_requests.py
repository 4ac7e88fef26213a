"""Verifications that people and keys ask for: begun at once, gone on with by upkeep, read while they go on.

A short chain is seen to its end in the request itself; of a long one the request sees the beginning only.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final, cast

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from tenants.context import Actor, ActorKind, acting_as, all_tenants, current_actor
from tenants.exceptions import CursorInvalidError
from tenants.masking import mask_text
from tenants.models import AuditVerification, Tenant
from tenants.selectors.audit_chain import estimate_seals
from tenants.services.audit import record_audit
from tenants.services.audit_verification import Pace, Verification, chain_scope, verify_chains
from tenants.signals import audit_verification_begun

logger = logging.getLogger(__name__)

# What the request that asks looks at itself: a shorter chain to its end, and of all chains the first. By count, so that
# the same log is answered in the same way however busy the machine is.
FIRST_LOOK: Final = Pace(seals=500, entries=500, steps=2)
MOST_FINDINGS: Final = 100
_COUNTS: Final = ("chains", "seals", "entries", "heads")


@dataclass(frozen=True, slots=True)
class Requested:
    """The verification that answers a request, and whether it began with it."""

    verification: AuditVerification
    is_new: bool


def request_verification(*, tenant: Tenant | None) -> Requested:
    """Begin to verify a tenant's chain, or all; while one such verification goes on, the answer is that one."""
    with chain_scope(tenant):
        going_on = AuditVerification.objects.filter(finished_at=None, **_whose(tenant)).first()
        return _begin(tenant) if going_on is None else Requested(going_on, is_new=False)


def advance_next(*, seconds: float) -> Verification | None:
    """Go on with whichever was looked at longest ago; what this part has seen and found, None if none is open."""
    with all_tenants():
        rows = AuditVerification.objects.filter(finished_at=None).select_related("tenant")
        verification = rows.order_by(F("advanced_at").asc(nulls_first=True), "id").first()
        if verification is None:
            return None
        # Written first, so that one that cannot be gone on with does not keep the others waiting.
        AuditVerification.objects.filter(pk=verification.pk).update(advanced_at=Now())
    kind = cast("ActorKind", verification.actor_kind)
    with acting_as(Actor(kind=kind, id=verification.actor_id, label=verification.actor_label)):
        return _look(verification, deadline=time.monotonic() + seconds)


def _begin(tenant: Tenant | None) -> Requested:
    actor = current_actor()
    verification = AuditVerification(
        tenant=tenant,
        actor_kind=actor.kind,
        actor_id=actor.id[:64],
        actor_label=mask_text(actor.label)[:200],
        expected_seals=estimate_seals(None if tenant is None else tenant.pk),
    )
    try:
        with transaction.atomic():
            verification.save(force_insert=True)
    except IntegrityError:
        # Somebody has asked at the same moment; theirs may have come to its end since.
        return Requested(AuditVerification.objects.filter(**_whose(tenant)).latest("id"), is_new=False)
    _look(verification, pace=FIRST_LOOK)
    if not verification.is_complete:
        record_audit(
            action="audit.verification_requested",
            target=verification,
            after={"chains": "all" if tenant is None else tenant.slug},
        )
        audit_verification_begun.send(None)
    return Requested(verification, is_new=True)


def _look(verification: AuditVerification, *, deadline: float | None = None, pace: Pace | None = None) -> Verification:
    """Go on for so long, and write down how far that came and what it found, unless another process was faster."""
    place = verification.place
    try:
        seen = verify_chains(tenant=verification.tenant, deadline=deadline, after=place or None, pace=pace)
    except CursorInvalidError:
        # Another version of the program has left a place that this one cannot read: from the beginning, then.
        _forget(verification)
        seen = verify_chains(tenant=verification.tenant, deadline=deadline, pace=pace)
    for name in _COUNTS:
        setattr(verification, name, getattr(verification, name) + getattr(seen, name))
    verification.finding_count += len(seen.findings)
    found = [finding.as_kept() for finding in seen.findings]
    verification.findings = [*verification.findings, *found][:MOST_FINDINGS]
    verification.place = seen.next or ""
    if found:
        # Whoever asked may not be the one who must know.
        logger.error("audit.altered", extra={"verification": str(verification.pk), "first_finding": found[0]})
    with chain_scope(verification.tenant):
        _write(verification, after=place)
    return seen


def _write(verification: AuditVerification, *, after: str) -> None:
    columns = (*_COUNTS, "finding_count", "findings", "place")
    own = AuditVerification.objects.filter(pk=verification.pk, place=after, finished_at=None)
    is_over = not verification.place
    values = {name: getattr(verification, name) for name in columns}
    # No row: its tenant was erased meanwhile, or a run that was thought dead has come to this place as well.
    if not own.update(**values, advanced_at=Now(), finished_at=Now() if is_over else None):
        return
    verification.refresh_from_db(fields=["advanced_at", "finished_at"])
    if is_over:
        counts = {name: getattr(verification, name) for name in _COUNTS}
        after_values = {**counts, "findings": verification.finding_count, "is_complete": True}
        record_audit(action="audit.verified", target=verification, after=after_values)


def _forget(verification: AuditVerification) -> None:
    for name in (*_COUNTS, "finding_count"):
        setattr(verification, name, 0)
    verification.findings = []


def _whose(tenant: Tenant | None) -> dict[str, object]:
    return {"tenant__isnull": True} if tenant is None else {"tenant": tenant}
