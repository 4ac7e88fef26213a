"""Checks of the audit chains against their entries and signed heads, and of erased tenants against their proofs."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.archive.exceptions import ArchiveUnavailableError
from scheduling.consistency.registry import (
    NEVER,
    NOT_PROVED,
    CheckPage,
    CheckRange,
    ConsistencyFault,
    FaultKind,
    StateCheck,
)
from scheduling.exceptions import BrokerAwayError
from tenants.access.permissions import Permission
from tenants.audit.chain import PLATFORM_CHAIN
from tenants.audit.chain_check import ChainFinding
from tenants.audit.verification import verify_chains
from tenants.context import all_tenants
from tenants.erasure.proof import verify_erasure
from tenants.exceptions import CursorInvalidError
from tenants.models import ErasureStatus, Tenant, TenantErasure
from tenants.translation import LocalizableText

logger = logging.getLogger(__name__)

AUDIT = FaultKind("audit_chain", gettext_noop("A chain of the audit log was edited, cut, reordered or re-hashed."))
# Placeholder for a missing sequence or entry of a finding.
NO_PLACE: Final = "–"
ERASURE_LEFT = FaultKind("erasure_left", gettext_noop("Rows or files of an erased tenant exist."))
ERASURE_PROOF = FaultKind(
    "erasure_proof", gettext_noop("The proof of an erasure differs from the one that was written.")
)


def check_audit_chains(piece: CheckRange) -> CheckPage:
    """Verify the next batch of entries of a chain.

    The option ``heads`` may contain exported heads that were stored elsewhere, to compare with; ``grace_seconds`` is
    for how long an entry may lack its seal.
    """
    tenant = None
    if piece.tenant_id is not None:
        with all_tenants():
            tenant = Tenant.objects.get(pk=piece.tenant_id)
    given = {name: piece.options[name] for name in ("heads", "grace_seconds") if name in piece.options}
    # The deadline is in the past, so that each call verifies one batch.
    try:
        verified = verify_chains(tenant=tenant, deadline=0.0, after=piece.after.get("chain"), **given)
    except CursorInvalidError:
        # The cursor was written by another release.
        verified = verify_chains(tenant=tenant, deadline=0.0, **given)
    counts = {name: count for name, count in verified.counts().items() if name != "findings"}
    following = None if verified.next is None else {"chain": verified.next}
    for finding in verified.findings:
        # Log it: the reader of a tenant's run may not be the operator responsible.
        logger.error("audit.altered", extra=finding.as_dict())
    return CheckPage(piece, [_chain_fault(finding) for finding in verified.findings], following, counts)


def check_erasures(piece: CheckRange) -> CheckPage:
    """Count what is left of the next erased tenant, and compare the proof of its erasure with the stored hash."""
    with all_tenants():
        completed = TenantErasure.objects.filter(status=ErasureStatus.COMPLETED).order_by("pk")
        erasure = completed.filter(pk__gt=piece.after.get("id", UUID(int=0))).first()
    if erasure is None:
        return CheckPage(piece)
    end = {"id": str(erasure.pk)}
    try:
        found = verify_erasure(erasure_id=erasure.pk)
    except (ArchiveUnavailableError, BrokerAwayError) as error:
        away = ConsistencyFault(NOT_PROVED.code, erasure.subject_id, f"erasure {erasure.pk}", str(error))
        return CheckPage(replace(piece, until=end), [away], end)
    faults: list[ConsistencyFault] = []
    if found.left:
        left = ", ".join(f"{name} ({number})" for name, number in sorted(found.left.items()))
        faults.append(ConsistencyFault(ERASURE_LEFT.code, erasure.subject_id, f"erasure {erasure.pk}", left))
    if not found.is_proof_intact:
        faults.append(ConsistencyFault(ERASURE_PROOF.code, erasure.subject_id, f"erasure {erasure.pk}"))
    return CheckPage(replace(piece, until=end), faults, end, {"erasures": 1})


def _chain_fault(finding: ChainFinding) -> ConsistencyFault:
    subject = f"{finding.kind} of {finding.chain} at {finding.sequence}, entry {finding.entry_id}"
    values = {
        "chain": finding.chain,
        "sequence": NO_PLACE if finding.sequence is None else finding.sequence,
        "entry": finding.entry_id or NO_PLACE,
        "kind": finding.kind,
        "detail": LocalizableText(finding.text, finding.values),
    }
    detail = LocalizableText("Chain %(chain)s, seal %(sequence)s, entry %(entry)s: %(kind)s. %(detail)s", values)
    tenant_id = None if finding.chain == PLATFORM_CHAIN else finding.chain
    return ConsistencyFault(AUDIT.code, tenant_id, subject, detail)


CHECKS = (
    StateCheck(
        "audit",
        (AUDIT,),
        check_audit_chains,
        interval=timedelta(days=1),
        title=gettext_noop("Audit chains"),
        text=gettext_noop("Verifies every chain of the audit log against its entries and the signed heads."),
        options=("heads", "grace_seconds"),
        tenant_permission=Permission.AUDIT_VIEW,
    ),
    StateCheck("erasures", (ERASURE_LEFT, ERASURE_PROOF), check_erasures, interval=NEVER, knows_tenants=False),
)
