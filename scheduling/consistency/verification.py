"""Verification of the stored rows: every fault is confirmed by a second check, and repaired on request.

Each range of rows is checked in one short transaction, so a check of millions of rows holds no lock and no old
snapshot. Each tenant and kind of fault is repaired in one transaction, with an entry in the audit log. The range is
then checked once more, and only a fault that is gone counts as repaired.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import IntegrityError, OperationalError

from scheduling.consistency.registry import (
    CheckPage,
    ConsistencyFault,
    FaultKind,
    RepairOrder,
    StateCheck,
    fault_kinds,
    find_checks,
)
from scheduling.consistency.walk import iterate_pages
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.database.prepared import execute
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from tenants.translation import LocalizableText

logger = logging.getLogger(__name__)

MAX_EXAMPLES = 10
# Limit of findings reported one by one; faults of further ones are only counted.
MAX_FINDINGS = 1_000
# Longest wait of a repair for a lock; the next run repairs the rest.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"


@dataclass(slots=True)
class CheckFinding:
    """Faults of one kind and one tenant: their number, some examples, and the number repaired."""

    kind: FaultKind
    tenant_id: UUID | None
    number: int = 0
    repaired: int = 0
    examples: list[str | LocalizableText] = field(default_factory=list)

    @property
    def is_repairable(self) -> bool:
        return bool(self.kind.repair)

    @property
    def is_repaired(self) -> bool:
        return self.repaired == self.number

    def add(self, fault: ConsistencyFault, *, is_repaired: bool) -> None:
        """Count a fault, and keep it as an example if there are fewer than MAX_EXAMPLES."""
        self.number += 1
        self.repaired += is_repaired
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(fault.example)

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON data."""
        return {
            "code": self.kind.code,
            "tenant": None if self.tenant_id is None else str(self.tenant_id),
            "number": self.number,
            "examples": [str(example) for example in self.examples],
            "text": self.kind.text,
            "is_repairable": self.is_repairable,
            "repair": self.kind.repair,
            "repaired": self.repaired,
        }

    @property
    def sentence(self) -> LocalizableText:
        """Return the finding as a sentence with its first examples."""
        return self.sentence_with(3)

    def sentence_with(self, examples: int) -> LocalizableText:
        """Return the finding as a sentence with at most this many of its examples."""
        values = {
            "code": self.kind.code,
            "count": self.number,
            "fault": LocalizableText(self.kind.text),
            "examples": self.examples[:examples],
        }
        if self.tenant_id is None:
            return LocalizableText("%(code)s: %(count)s. %(fault)s %(examples)s", values)
        whose = {"tenant": str(self.tenant_id)}
        return LocalizableText("%(code)s of tenant %(tenant)s: %(count)s. %(fault)s %(examples)s", values | whose)

    def __str__(self) -> str:
        return str(self.sentence)


@dataclass(slots=True)
class StateReport:
    """Findings and counts of all checks.

    At most MAX_FINDINGS findings are kept; ``untold`` counts the faults of others.
    """

    findings: dict[tuple[str, UUID | None], CheckFinding] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    untold: int = 0

    @property
    def checks(self) -> list[str]:
        return list(self.counts)

    @property
    def is_clean(self) -> bool:
        """Return whether no fault was found, or all were repaired."""
        return not self.untold and all(finding.is_repaired for finding in self.findings.values())

    @property
    def left(self) -> int:
        """Return the number of faults that were not repaired."""
        return sum(finding.number - finding.repaired for finding in self.findings.values()) + self.untold

    def add(self, faults: Sequence[ConsistencyFault], *, left: Sequence[ConsistencyFault]) -> None:
        """Count the faults of one range; those in ``left`` are not repaired."""
        kinds, still = fault_kinds(), {fault.key for fault in left}
        for fault in faults:
            key = (fault.code, fault.tenant_id)
            if key not in self.findings and len(self.findings) >= MAX_FINDINGS:
                self.untold += 1
                continue
            finding = self.findings.setdefault(key, CheckFinding(kinds[fault.code], fault.tenant_id))
            finding.add(fault, is_repaired=fault.key not in still)


def verify(
    names: Sequence[str] = (),
    *,
    repair: bool = False,
    tenant: Tenant | None = None,
    reason: str = "",
    options: Mapping[str, Any] | None = None,
) -> StateReport:
    """Run the checks of these names, or all checks, over all tenants or one; repair the faults if ``repair`` is true.

    Raise CheckUnknownError for an unknown name, and FieldInvalidError for an option that none of the checks takes.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    checks = _chosen(names, tenant, given)
    report = StateReport()
    for check in checks:
        counts = report.counts.setdefault(check.name, Counter())
        own = {name: given[name] for name in check.options if name in given}
        for look in iterate_pages(check, tenant_id=tenant.pk if tenant else None, options=own):
            counts.update(look.counts)
            if repair:
                _repair_piece(check, look, report, reason=reason)
            else:
                report.add(look.faults, left=look.faults)
    return report


def repair_faults(check: StateCheck, look: CheckPage, *, reason: str) -> Sequence[ConsistencyFault]:
    """Repair the faults of one range that can be repaired, and check the range again; return the remaining faults."""
    kinds: Mapping[str, FaultKind] = fault_kinds()
    repairable = [fault for fault in look.faults if kinds[fault.code].repair]
    if check.repair is None or not repairable:
        return look.faults
    groups: dict[tuple[str, UUID | None], list[ConsistencyFault]] = {}
    for fault in repairable:
        groups.setdefault((fault.code, fault.tenant_id), []).append(fault)
    for (code, tenant_id), faults in groups.items():
        _repair(check, RepairOrder(code, tenant_id, faults, look.piece, reason))
    return check.look(look.piece).faults


def _chosen(names: Sequence[str], tenant: Tenant | None, options: Mapping[str, Any]) -> list[StateCheck]:
    checks = find_checks(names)
    unused = options.keys() - {name for check in checks for name in check.options}
    if tenant is not None:
        checks = [check for check in checks if check.knows_tenants]
        if not checks:
            unused.add("tenant")
    if unused:
        raise FieldInvalidError("No chosen check accepts the option %(option)s.", {"option": ", ".join(sorted(unused))})
    return checks


def _repair_piece(check: StateCheck, look: CheckPage, report: StateReport, *, reason: str) -> None:
    """Repair the faults of one range.

    Repeat this while the check finds further ones: it returns a limited number at once.
    """
    known: set[Any] = set()
    faults = look.faults
    while faults:
        left = repair_faults(check, replace(look, faults=faults), reason=reason)
        report.add(faults, left=left)
        known |= {fault.key for fault in faults}
        faults = [fault for fault in left if fault.key not in known]


def _repair(check: StateCheck, order: RepairOrder) -> None:
    """Run one repair with its audit entry in a transaction.

    If the database refuses it, log the error and change nothing.
    """
    assert check.repair is not None  # checked by the caller
    try:
        with all_tenants():
            execute(_LOCK_TIMEOUT, is_planned=True)
            check.repair(order)
            # Rows of a deleted tenant are recorded in the platform's own chain.
            tenant_id = Tenant.objects.filter(pk__in=[order.tenant_id]).values_list("pk", flat=True).first()
            examples = [str(fault.example) for fault in order.faults[:MAX_EXAMPLES]]
            record_audit(
                action="state.repaired",
                target=AuditTarget("scheduling.state", order.code, tenant_id),
                before={"number": len(order.faults), "examples": examples},
                after={"repair": fault_kinds()[order.code].repair},
                reason=order.reason,
            )
    except (OperationalError, IntegrityError):
        logger.exception("state.repair_failed", extra={"code": order.code, "tenant_id": str(order.tenant_id)})
