"""Verifying the state: every check, piece by piece, each fault confirmed by a second look, and repaired if asked to.

A piece is one short transaction, so a walk over millions of rows holds no lock and no old snapshot. Repairs are one
transaction for each tenant and kind of fault, with an entry in the audit log; then the piece is looked at once more,
and only what is gone counts as repaired.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import IntegrityError, OperationalError, connection

from scheduling.services.consistency.pieces import group
from scheduling.services.consistency.registry import (
    Fault,
    FaultKind,
    Look,
    Piece,
    RepairOrder,
    StateCheck,
    fault_kinds,
    state_checks,
)
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.sentences import Sentence
from tenants.services.audit import AuditTarget, record_audit

logger = logging.getLogger(__name__)

MAX_EXAMPLES = 10
# Different findings that are told one by one; what is beyond is counted.
MAX_FINDINGS = 1_000
# A repair waits no longer than this for whoever works on the same rows; what it leaves is told, and is the next one's.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"


@dataclass(slots=True)
class Finding:
    """Faults of one kind of one tenant: how many, a few of them, and how many were repaired."""

    kind: FaultKind
    tenant_id: UUID | None
    number: int = 0
    repaired: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_repairable(self) -> bool:
        return bool(self.kind.repair)

    @property
    def is_repaired(self) -> bool:
        return self.repaired == self.number

    def add(self, fault: Fault, *, is_repaired: bool) -> None:
        """Count one more."""
        self.number += 1
        self.repaired += is_repaired
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(" ".join(part for part in (fault.subject, fault.detail) if part))

    def as_dict(self) -> dict[str, Any]:
        """The finding in JSON's words."""
        return {
            "code": self.kind.code,
            "tenant": None if self.tenant_id is None else str(self.tenant_id),
            "number": self.number,
            "examples": self.examples,
            "text": self.kind.text,
            "is_repairable": self.is_repairable,
            "repair": self.kind.repair,
            "repaired": self.repaired,
        }

    @property
    def sentence(self) -> Sentence:
        """The finding for people, with the first of its examples."""
        values = {
            "code": self.kind.code,
            "count": self.number,
            "fault": Sentence(self.kind.text),
            "examples": self.examples[:3],
        }
        if self.tenant_id is None:
            return Sentence("%(code)s: %(count)s. %(fault)s %(examples)s", values)
        whose = {"tenant": str(self.tenant_id)}
        return Sentence("%(code)s of tenant %(tenant)s: %(count)s. %(fault)s %(examples)s", values | whose)

    def __str__(self) -> str:
        return str(self.sentence)


@dataclass(slots=True)
class StateReport:
    """What all looks have found. ``untold`` counts faults of findings beyond MAX_FINDINGS."""

    findings: dict[tuple[str, UUID | None], Finding] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)
    untold: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong, or nothing is any more."""
        return not self.untold and all(finding.is_repaired for finding in self.findings.values())

    def add(self, faults: Sequence[Fault], *, left: Sequence[Fault]) -> None:
        """Count the faults of a piece, of which ``left`` are there still."""
        kinds, still = fault_kinds(), {fault.key for fault in left}
        for fault in faults:
            key = (fault.code, fault.tenant_id)
            if key not in self.findings and len(self.findings) >= MAX_FINDINGS:
                self.untold += 1
                continue
            finding = self.findings.setdefault(key, Finding(kinds[fault.code], fault.tenant_id))
            finding.add(fault, is_repaired=fault.key not in still)


def verify_state(*, repair: bool = False, tenant: Tenant | None = None, reason: str = "") -> StateReport:
    """Run every check, over all tenants or the parts that are one tenant's; ``repair`` mends what can be."""
    report = StateReport()
    for check in state_checks():
        if tenant is not None and not check.knows_tenants:
            continue
        report.checks.append(check.name)
        for look in walk(check, tenant_id=tenant.pk if tenant else None):
            if repair:
                _work_off(check, look, report, reason=reason)
            else:
                report.add(look.faults, left=look.faults)
    return report


def walk(check: StateCheck, *, tenant_id: UUID | None = None) -> Iterator[Look]:
    """Every piece of a check, with its confirmed faults."""
    look = look_twice(check, Piece(tenant_id=tenant_id))
    yield look
    while look.next is not None:
        look = look_twice(check, Piece(look.next, tenant_id=tenant_id))
        yield look


def look_twice(check: StateCheck, piece: Piece) -> Look:
    """Look at a piece; what is found must be found again, or it was on its way."""
    look = check.look(piece)
    if not look.faults:
        return look
    again = {fault.key for fault in check.look(look.piece).faults}
    confirmed = [fault for fault in look.faults if fault.key in again]
    return Look(look.piece, confirmed, look.next)


def _work_off(check: StateCheck, look: Look, report: StateReport, *, reason: str) -> None:
    """Repair the faults of a piece, and those that were beyond the most that one look tells."""
    known: set[Any] = set()
    faults = look.faults
    while faults:
        left = repair_faults(check, replace(look, faults=faults), reason=reason)
        report.add(faults, left=left)
        known |= {fault.key for fault in faults}
        faults = [fault for fault in left if fault.key not in known]


def repair_faults(check: StateCheck, look: Look, *, reason: str) -> Sequence[Fault]:
    """Repair what can be of the faults of a piece, and look again; what is left."""
    kinds: Mapping[str, FaultKind] = fault_kinds()
    repairable = [fault for fault in look.faults if kinds[fault.code].repair]
    if check.repair is None or not repairable:
        return look.faults
    for (code, tenant_id), faults in group(repairable, lambda fault: (fault.code, fault.tenant_id)).items():
        _repair(check, RepairOrder(code, tenant_id, [fault.subject for fault in faults], look.piece, reason))
    return check.look(look.piece).faults


def _repair(check: StateCheck, order: RepairOrder) -> None:
    """One repair with its entry in the audit log; one that the database refuses is undone, and what it left is told."""
    assert check.repair is not None  # the caller asked
    try:
        with all_tenants():
            with connection.cursor() as cursor:
                cursor.execute(_LOCK_TIMEOUT)
            check.repair(order)
            # What a tenant that is gone has left behind stands in the platform's own chain.
            tenant_id = Tenant.objects.filter(pk__in=[order.tenant_id]).values_list("pk", flat=True).first()
            record_audit(
                action="state.repaired",
                target=AuditTarget("scheduling.state", order.code, tenant_id),
                before={"number": len(order.subjects), "examples": list(order.subjects[:MAX_EXAMPLES])},
                after={"repair": fault_kinds()[order.code].repair},
                reason=order.reason,
            )
    except (OperationalError, IntegrityError):
        logger.exception("state.repair_failed", extra={"code": order.code, "tenant_id": str(order.tenant_id)})
