"""Versions of plans: each edit is a row that stays, in effect at once or at its time; a rollback is one more edit.

A version is the whole plan. One that was written for later replaces, at its time, whatever the plan is by then.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Max
from django.db.models.functions import Now
from django.utils.translation import gettext

from tenants.clock import read_clock, read_moment
from tenants.context import all_tenants
from tenants.exceptions import (
    DomainError,
    EffectiveFromPastError,
    PlanChangedError,
    VersionNotFoundError,
    VersionNotWaitingError,
)
from tenants.models import VersionedModel, VersionFacts
from tenants.services.audit import record_audit
from tenants.services.changes import Difference
from tenants.services.pausing import LATEST, actor_words, require_reason

logger = logging.getLogger(__name__)
type Content = dict[str, Any]
Outcome = VersionFacts.Outcome


class VersionedPlans[PlanT: VersionedModel](ABC):
    """The plans of one model and their versions; a plan's row is locked before its versions."""

    noun: ClassVar[str]
    changed_action: ClassVar[str]
    # Rows of `VersionFacts` that have the plan as `plan`.
    versions: ClassVar[Any]

    @abstractmethod
    def lock(self, plan: PlanT) -> PlanT:
        """The plan's row as it is now, locked; a DomainError if it is gone."""

    @abstractmethod
    def describe(self, plan: PlanT) -> Content:
        """The plan as a whole."""

    @abstractmethod
    def check(self, plan: PlanT, content: Mapping[str, Any]) -> None:
        """A DomainError unless the plan could be that now."""

    @abstractmethod
    def put(self, plan: PlanT, content: Mapping[str, Any]) -> None:
        """Make the plan that, and tell whom it concerns."""

    @abstractmethod
    def flatten(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The content as fields that are compared one by one."""

    def begin(self, plan: PlanT, *, reason: str = "") -> None:
        """Write the first version of a new plan."""
        content = self.describe(plan)
        row = self._row(plan, 1, content, Difference({}, {}), reason)
        row.outcome, row.outcome_at = Outcome.APPLIED, read_clock()
        row.save(force_insert=True)

    def edit(
        self,
        plan: PlanT,
        revise: Callable[[Content], Content],
        *,
        reason: str,
        action: str = "",
        expected_version: int | None = None,
        effective_from: datetime | None = None,
    ) -> VersionFacts | None:
        """Write what ``revise`` makes of the plan as its next version; None where that changes nothing.

        PlanChangedError where the plan is not at ``expected_version`` any more. Without ``effective_from`` the
        version is in effect with the transaction.
        """
        with all_tenants():
            locked = self.lock(plan)
            _expect(locked, expected_version)
            content = self.describe(locked)
            wanted = revise(content)
            self.check(locked, wanted)
            difference = self._compare(content, wanted)
            if effective_from is not None:
                return self._schedule(locked, wanted, difference, effective_from, reason)
            if not difference:
                return None
            row = self._row(locked, self._next_number(locked), wanted, difference, reason)
            row.save(force_insert=True)
            self._apply(locked, row, difference, action or self.changed_action, reason)
            return row

    def roll_back(self, plan: PlanT, number: int, *, reason: str, **options: Any) -> VersionFacts | None:
        """Write the content of an older version as the next one; None where the plan is just that already."""
        reason = require_reason(reason)
        with all_tenants():
            old = self._find(plan, number)
            action = f"{self.noun}.rolled_back"
            return self.edit(plan, lambda content: old.content, reason=reason, action=action, **options)

    def withdraw(self, plan: PlanT, number: int, *, reason: str) -> VersionFacts:
        """Have a version that waits for its time never take effect."""
        reason = require_reason(reason)
        with all_tenants():
            locked = self.lock(plan)
            row: VersionFacts = self._find(locked, number)
            if row.outcome != Outcome.WAITING:
                raise VersionNotWaitingError(
                    "Version %(number)s %(outcome)s.", {"number": number, "outcome": row.get_outcome_display()}
                )
            self._end(row, Outcome.WITHDRAWN, reason)
            record_audit(
                action=f"{self.noun}.version_withdrawn",
                target=locked,
                before={"version": number, "effective_from": row.effective_from.isoformat()},
                reason=reason,
            )
            return row

    def apply_due(self) -> int:
        """Put the versions in effect whose time has come, by the database's clock; how many. Behind the door."""
        due = self.versions.objects.filter(outcome=Outcome.WAITING, effective_from__lte=Now())
        rows: list[Any] = list(due.select_related("plan").order_by("effective_from", "number"))
        # A plan that somebody edits now is left for the next turn with all its versions, so that they keep their order.
        free = _lock_free([row.plan for row in rows])
        return sum(self._apply_due(row) for row in rows if row.plan_id in free)  # seldom more than one

    def _apply_due(self, row: Any) -> bool:
        """In a savepoint of its own: a version that cannot be applied keeps no other from its time."""
        try:
            with transaction.atomic():
                return self._apply_waiting(row)
        except DomainError as refusal:
            # What it names is gone, or the plan has become one that may not be so: said, and not tried for ever.
            logger.warning("plan.version_refused", extra={"plan": str(row.plan), "version": row.number})
            self._refuse(row, refusal.code, str(refusal))
        except (OperationalError, InterfaceError):
            raise  # the database's doing, not the version's
        except Exception as error:
            logger.exception("plan.version_failed", extra={"plan": str(row.plan), "version": row.number})
            self._refuse(row, "version_failed", f"It could not be applied ({type(error).__name__}).")
        return False

    def _apply_waiting(self, row: Any) -> bool:
        locked = self.lock(row.plan)
        current = self._find(locked, row.number)
        if current.outcome != Outcome.WAITING:
            return False
        self.check(locked, current.content)
        difference = self._compare(self.describe(locked), current.content)
        because = f"the time of version {row.number} had come"
        self._apply(locked, current, difference, self.changed_action, because)
        return True

    def _refuse(self, row: Any, code: str, detail: str) -> None:
        self._end(row, Outcome.REFUSED, detail)
        record_audit(
            action=f"{self.noun}.version_refused",
            target=row.plan,
            after={"version": row.number, "code": code},
            reason=detail,
        )

    def _schedule(
        self, locked: PlanT, wanted: Content, difference: Difference, effective_from: datetime, reason: str
    ) -> VersionFacts:
        _check_time(effective_from)
        row = self._row(locked, self._next_number(locked), wanted, difference, reason)
        row.effective_from = effective_from
        row.save(force_insert=True)
        record_audit(
            action=f"{self.noun}.version_scheduled",
            target=locked,
            before=difference.before,
            after={**difference.after, "version": row.number, "effective_from": effective_from.isoformat()},
            reason=reason,
        )
        return row

    def _apply(self, locked: PlanT, row: VersionFacts, difference: Difference, action: str, reason: str) -> None:
        before = {**difference.before, "version": locked.version}
        locked.version = row.number
        self.put(locked, row.content)
        self._end(row, Outcome.APPLIED, "")
        record_audit(
            action=action,
            target=locked,
            before=before,
            after={**difference.after, "version": row.number},
            reason=reason,
        )

    def _row(self, plan: PlanT, number: int, content: Content, difference: Difference, reason: str) -> VersionFacts:
        row: VersionFacts = self.versions(
            plan=plan,
            number=number,
            author=actor_words(),
            reason=reason[:500],
            content=content,
            before=difference.before,
            after=difference.after,
        )
        return row

    def _end(self, row: VersionFacts, outcome: VersionFacts.Outcome, note: str) -> None:
        row.outcome, row.outcome_at, row.outcome_note = outcome, read_clock(), note[:500]
        row.save(update_fields=["outcome", "outcome_at", "outcome_note"])

    def _find(self, plan: PlanT, number: int) -> Any:
        row = self.versions.objects.filter(plan=plan, number=number).first()
        if row is None:
            raise VersionNotFoundError("%(plan)s has no version %(number)s.", {"plan": plan, "number": number})
        return row

    def _next_number(self, plan: PlanT) -> int:
        newest = self.versions.objects.filter(plan=plan).aggregate(newest=Max("number"))["newest"]
        return max(newest or 0, plan.version) + 1

    def _compare(self, content: Content, wanted: Mapping[str, Any]) -> Difference:
        old, new = self.flatten(content), self.flatten(wanted)
        names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        return Difference({name: old.get(name) for name in names}, {name: new.get(name) for name in names})


def _lock_free(plans: Sequence[VersionedModel]) -> set[Any]:
    """Lock those of the plans, all of one model, that nobody else has locked; the keys of these."""
    if not plans:
        return set()
    found = (
        type(plans[0])
        ._default_manager.select_for_update(no_key=True, skip_locked=True)
        .filter(pk__in=[p.pk for p in plans])
    )
    return set(found.values_list("pk", flat=True))


def _expect(plan: VersionedModel, version: int | None) -> None:
    if version is not None and version != plan.version:
        raise PlanChangedError(
            "The plan is at version %(current)s, not %(version)s.", {"current": plan.version, "version": version}
        )


def _check_time(effective_from: datetime) -> None:
    if effective_from.tzinfo is None or not read_moment() <= effective_from < LATEST:
        raise EffectiveFromPastError(
            "It must be a time in the future, with its zone.",
            errors=[
                {
                    "field": "effective_from",
                    "code": EffectiveFromPastError.code,
                    "detail": gettext("Not in the future."),
                }
            ],
        )
