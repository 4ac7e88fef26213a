"""Service for versions: each edit writes a version, which takes effect at once or at a scheduled time.

A version holds the whole content. A scheduled one replaces the content that is in effect at its time. A rollback is an
edit with the content of an older version.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError
from django.db.models import Max
from django.db.models.functions import Now
from django.utils.translation import gettext

from tenants.audit.service import record_audit
from tenants.database.clock import read_clock, read_moment
from tenants.exceptions import (
    DomainError,
    EffectiveFromPastError,
    VersionNotFoundError,
    VersionNotWaitingError,
)
from tenants.tenancy.changes import Difference
from tenants.tenancy.pausing import LATEST, actor_words, require_reason
from tenants.versions.hooks import Content, VersionHooks
from tenants.versions.models import VersionedModel, VersionFacts

logger = logging.getLogger(__name__)
Outcome = VersionFacts.Outcome
# Versions that one run of the dispatcher's duty applies; the rest follow with the next run.
TURN_ROWS = 50


@dataclass(frozen=True, slots=True)
class Preview:
    """What a content would change: its difference from the content in effect, its faults, and what it would affect."""

    difference: Difference
    faults: Sequence[Mapping[str, Any]]
    effects: Mapping[str, Any]


class Versioned[RowT: VersionedModel](VersionHooks[RowT]):
    """Service for the versioned rows of one model. A row is always locked before its versions."""

    def begin(self, row: RowT, *, content: Content | None = None, reason: str = "") -> None:
        """Write the first version of a new row, with ``content`` or else the row's own content."""
        first = self._version(row, 1, self.describe(row) if content is None else content, Difference({}, {}), reason)
        first.outcome, first.outcome_at = Outcome.APPLIED, read_clock()
        first.save(force_insert=True)

    def edit(
        self,
        row: RowT,
        revise: Callable[[Content], Content],
        *,
        reason: str,
        action: str = "",
        expected_version: int | None = None,
        effective_from: datetime | None = None,
    ) -> VersionFacts | None:
        """Write the next version of a row and return it; return None if nothing changes.

        ``revise`` gets the content in effect and returns the new one. With ``effective_from`` the version is scheduled,
        else it takes effect in this transaction. Raise the error of `overtaken` if the row is not at
        ``expected_version``.
        """
        with self.scope(row):
            locked = self.lock(row)
            if expected_version is not None and expected_version != locked.version:
                raise self.overtaken(locked, expected_version)
            content = self.describe(locked)
            wanted = revise(content)
            self.check(locked, wanted)
            self.authorise(wanted)
            difference = self._compare(content, wanted)
            if difference or effective_from is not None:
                options = {"reason": reason, "action": action, "effective_from": effective_from}
                self.require_approval(locked, wanted, difference, **options)
            if effective_from is not None:
                return self._schedule(locked, wanted, difference, effective_from, reason)
            if not difference and not self.writes_unchanged:
                return None
            version = self._version(locked, self._next_number(locked), wanted, difference, reason)
            version.save(force_insert=True)
            self._apply(locked, version, difference, action or self.changed_action, reason)
            return version

    def roll_back(self, row: RowT, number: int, *, reason: str, **options: Any) -> VersionFacts | None:
        """Write the content of an older version as the next version; return None if it is in effect already."""
        reason = require_reason(reason)
        with self.scope(row):
            old = self._find(row, number)
            action = f"{self.noun}.rolled_back"
            return self.edit(row, lambda content: old.content, reason=reason, action=action, **options)

    def withdraw(self, row: RowT, number: int, *, reason: str) -> VersionFacts:
        """Withdraw a scheduled version, so that it never takes effect.

        Raise `VersionNotWaitingError` if the version is not scheduled any more.
        """
        reason = require_reason(reason)
        with self.scope(row):
            locked = self.lock(row)
            version: VersionFacts = self._find(locked, number)
            if version.outcome != Outcome.WAITING:
                raise VersionNotWaitingError(
                    "Version %(number)s %(outcome)s.", {"number": number, "outcome": version.get_outcome_display()}
                )
            self.require_approval_to_withdraw(locked, number, reason)
            self._end(version, Outcome.WITHDRAWN, reason)
            record_audit(
                action=f"{self.noun}.version_withdrawn",
                target=locked,
                before={"version": number, "effective_from": version.effective_from.isoformat()},
                reason=reason,
            )
            return version

    def preview(self, row: RowT, content: Content) -> Preview:
        """Compare a content with the one in effect, without writing anything."""
        with self.scope(row):
            faults: Sequence[Mapping[str, Any]] = ()
            try:
                self.check(row, content)
            except DomainError as refusal:
                faults = refusal.errors or [{"code": refusal.code, "detail": refusal.detail}]
            return Preview(self._compare(self.describe(row), content), faults, self.effects(row))

    def apply_due(self) -> int:
        """Put scheduled versions into effect whose time has come, at most TURN_ROWS. Return how many took effect.

        Call it in the scope of all tenants. Versions of a row that is locked by an edit wait for the next call.
        """
        due = self.versions.objects.filter(outcome=Outcome.WAITING, effective_from__lte=Now())
        due = due.select_related(self.owner).defer("content", "before", "after")
        versions = list(due.order_by("effective_from", "number")[:TURN_ROWS])
        # A row that is being edited is left for the next run with all its versions, so that they keep their order.
        free = _lock_free([getattr(version, self.owner) for version in versions])
        return sum(self._apply_due(version) for version in versions if getattr(version, self.owner).pk in free)

    def _apply_due(self, version: Any) -> bool:
        """Apply a version in a savepoint of its own, so that a version that fails does not block others."""
        row: RowT = getattr(version, self.owner)
        try:
            with self.scope(row):
                return self._apply_waiting(row, version.number)
        except DomainError as refusal:
            # A row that it refers to is gone, or the row refuses it: refused for good, not retried.
            logger.warning("version.refused", extra=self._names(row, version))
            self._refuse(row, version, refusal.code, str(refusal))
        except (OperationalError, InterfaceError):
            raise  # an error of the database, not of the version
        except Exception as error:
            logger.exception("version.failed", extra=self._names(row, version))
            self._refuse(row, version, "version_failed", f"It could not be applied ({type(error).__name__}).")
        return False

    def _apply_waiting(self, row: RowT, number: int) -> bool:
        locked = self.lock(row)
        current = self._find(locked, number)
        if current.outcome != Outcome.WAITING:
            return False
        self.check_due(locked, current.content)
        difference = self._compare(self.describe(locked), current.content)
        self._apply(locked, current, difference, self.changed_action, f"version {number} became effective")
        return True

    def _refuse(self, row: RowT, version: Any, code: str, detail: str) -> None:
        with self.scope(row):
            self._end(version, Outcome.REFUSED, detail)
            record_audit(
                action=f"{self.noun}.version_refused",
                target=row,
                after={"version": version.number, "code": code},
                reason=detail,
            )

    def _schedule(
        self, locked: RowT, wanted: Content, difference: Difference, effective_from: datetime, reason: str
    ) -> VersionFacts:
        _check_time(effective_from)
        version = self._version(locked, self._next_number(locked), wanted, difference, reason)
        version.effective_from = effective_from
        version.save(force_insert=True)
        kept = self.audited(difference)
        record_audit(
            action=f"{self.noun}.version_scheduled",
            target=locked,
            before=kept.before,
            after={**kept.after, "version": version.number, "effective_from": effective_from.isoformat()},
            reason=reason,
        )
        return version

    def _apply(self, locked: RowT, version: VersionFacts, difference: Difference, action: str, reason: str) -> None:
        kept = self.audited(difference)
        before = {**kept.before, "version": locked.version}
        locked.version = version.number
        self.put(locked, version.content)
        self._end(version, Outcome.APPLIED, "")
        record_audit(
            action=action, target=locked, before=before, after={**kept.after, "version": version.number}, reason=reason
        )

    def _names(self, row: RowT, version: Any) -> dict[str, Any]:
        return {"of": self.noun, "id": str(row.pk), "version": version.number}

    def _version(self, row: RowT, number: int, content: Content, difference: Difference, reason: str) -> VersionFacts:
        version: VersionFacts = self.versions(
            **{self.owner: row},
            number=number,
            author=actor_words(),
            reason=reason[:500],
            content=content,
            before=difference.before,
            after=difference.after,
        )
        return version

    def _end(self, version: VersionFacts, outcome: VersionFacts.Outcome, note: str) -> None:
        version.outcome, version.outcome_at, version.outcome_note = outcome, read_clock(), note[:500]
        version.save(update_fields=["outcome", "outcome_at", "outcome_note"])

    def _find(self, row: RowT, number: int) -> Any:
        version = self._of(row).filter(number=number).first()
        if version is None:
            raise VersionNotFoundError("%(plan)s has no version %(number)s.", {"plan": row, "number": number})
        return version

    def _next_number(self, row: RowT) -> int:
        newest = self._of(row).aggregate(newest=Max("number"))["newest"]
        return max(newest or 0, row.version) + 1

    def _of(self, row: RowT) -> Any:
        return self.versions.objects.filter(**{self.owner: row})

    def _compare(self, content: Content, wanted: Mapping[str, Any]) -> Difference:
        old, new = self.flatten(content), self.flatten(wanted)
        names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        return Difference({name: old.get(name) for name in names}, {name: new.get(name) for name in names})


def _lock_free(rows: Sequence[VersionedModel]) -> set[Any]:
    """Lock those of the rows, all of one model, that no other transaction has locked; return their keys."""
    if not rows:
        return set()
    found = (
        type(rows[0])
        ._default_manager.select_for_update(no_key=True, skip_locked=True)
        .filter(pk__in=[row.pk for row in rows])
    )
    return set(found.values_list("pk", flat=True))


def _check_time(effective_from: datetime) -> None:
    if effective_from.tzinfo is None or not read_moment() <= effective_from < LATEST:
        raise EffectiveFromPastError(
            "It must be a future time, with a time zone.",
            errors=[
                {
                    "field": "effective_from",
                    "code": EffectiveFromPastError.code,
                    "detail": gettext("Not in the future."),
                }
            ],
        )
