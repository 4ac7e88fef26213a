"""Service of access reviews: open one with a snapshot, decide about its lines, refresh the open ones, close it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction

from tenants.access.permissions import Permission
from tenants.audit.service import record_audit
from tenants.context import Scope, current_actor, scope_context
from tenants.database.clock import read_clock
from tenants.database.reads import first_or_raise
from tenants.exceptions import FieldInvalidError
from tenants.models import AccessReview, AccessReviewLine, Tenant
from tenants.reviews.exceptions import (
    AccessLineChangedError,
    AccessLineDecidedError,
    AccessLineOwnError,
    AccessReviewClosedError,
    AccessReviewForbiddenError,
    AccessReviewLimitError,
    AccessReviewLineNotFoundError,
    AccessReviewNotFoundError,
    AccessReviewOpenError,
    AccessReviewUndecidedError,
)
from tenants.reviews.models import AccessDecision
from tenants.reviews.queries import count_decisions
from tenants.reviews.revocation import ORDER, has_other_reviewer, revoke_access, right_to_revoke
from tenants.reviews.snapshot import current_lines
from tenants.tenancy.pausing import actor_words

MOST_LINES: Final = 50_000
MOST_DECIDED: Final = 1_000
_SHOWN: Final = 10
# What makes a line another one than that of the snapshot, and what a refresh also reads again.
_COMPARED: Final = ("subject", "role", "grants")
_REFRESHED: Final = (*_COMPARED, "person", "given_at", "last_used_at")
_HASHED: Final = ("kind", "object_id", "subject", "role", "grants", "decision", "note", "decided_by", "is_own")
May = Callable[[Permission], bool]


def _may_all(_: Permission) -> bool:
    return True


@transaction.atomic
def open_review(*, tenant: Tenant | None, may: May = _may_all) -> AccessReview:
    """Store who has access to a tenant now or, without one, all accounts with the platform's roles and keys.

    Raise `AccessReviewOpenError` if a review of it is open, `AccessReviewLimitError`, `AccessReviewForbiddenError`.
    """
    tenant_id = tenant.pk if tenant else None
    _require_right(tenant_id, may)
    with scope_context(Scope(tenant_id)):
        review = AccessReview(tenant=tenant, opened_by=actor_words())
        try:
            with transaction.atomic():
                review.save(force_insert=True)
        except IntegrityError as error:
            raise AccessReviewOpenError from error
        review.refresh_from_db()
        lines = list(current_lines(tenant_id).values())
        if len(lines) > MOST_LINES:
            raise AccessReviewLimitError(values={"limit": MOST_LINES, "count": len(lines)})
        for line in lines:
            line.review = review
        AccessReviewLine.objects.bulk_create(lines, batch_size=2_000)
        record_audit(action="access_review.opened", target=review, after={"lines": len(lines)})
    return review


@transaction.atomic
def decide(
    *, review_id: UUID, line_ids: Collection[UUID], decision: str, note: str = "", may: May = _may_all
) -> AccessReview:
    """Keep or revoke the access of lines of an open review of the current scope; all of them, or none.

    A decision is final. Revoking does it, and open lines whose access ends with it count as ended. Raise
    `AccessReviewNotFoundError`, `AccessReviewLineNotFoundError`, `AccessReviewClosedError`, `AccessLineDecidedError`,
    `AccessLineChangedError`, `AccessLineOwnError`, `AccessReviewForbiddenError`, or what the revoking service raises.
    """
    if decision not in (AccessDecision.KEEP, AccessDecision.REVOKE) or not 0 < len(line_ids) <= MOST_DECIDED:
        raise FieldInvalidError("Give 1 to %(limit)s lines, and keep or revoke as decision.", {"limit": MOST_DECIDED})
    review = _take(review_id, may)
    with scope_context(Scope(review.tenant_id)):
        lines = list(AccessReviewLine.objects.select_for_update(no_key=True).filter(review=review, pk__in=line_ids))
        if len(lines) != len(set(line_ids)):
            raise AccessReviewLineNotFoundError
        _refuse(AccessLineDecidedError, (line for line in lines if line.decision != AccessDecision.OPEN))
        own = _own_among(review, lines)
        current = current_lines(review.tenant_id, lines)
        _refuse(AccessLineChangedError, (line for line in lines if _is_changed(line, current.get(_key(line)))))
        values = {"decision": decision, "note": note[:500], "decided_by": actor_words(), "decided_at": read_clock()}
        AccessReviewLine.objects.filter(pk__in=[line.pk for line in lines]).update(**values)
        AccessReviewLine.objects.filter(pk__in=own).update(is_own=True)
        after = {"decision": decision, "lines": len(lines), "subjects": _words(lines)}
        record_audit(action="access_review.decided", target=review, after=after | {"own": len(own)}, reason=note)
        if decision == AccessDecision.REVOKE:
            _revoke(lines, note, may)
            _reread(review)
    return review


@transaction.atomic
def refresh_review(*, review_id: UUID, may: May = _may_all) -> AccessReview:
    """Read the open lines of a review again: changed ones are shown as they are now, vanished ones have ended.

    Access that was given after the snapshot is left to the next review. Raise what `decide` raises for the review.
    """
    review = _take(review_id, may)
    with scope_context(Scope(review.tenant_id)):
        changed, ended = _reread(review, is_changing=True)
        if changed or ended:
            record_audit(action="access_review.refreshed", target=review, after={"changed": changed, "ended": ended})
    return review


@transaction.atomic
def close_review(*, review_id: UUID, may: May = _may_all) -> AccessReview:
    """Close a review whose lines are all decided, and record its counts and the hash of its lines.

    Raise `AccessReviewUndecidedError`, or what `decide` raises for the review.
    """
    review = _take(review_id, may)
    with scope_context(Scope(review.tenant_id)):
        counts = count_decisions(review)
        if counts["open"]:
            raise AccessReviewUndecidedError(values={"count": counts["open"]})
        review.closed_by, review.closed_at, review.sha256 = actor_words(), read_clock(), _hash_lines(review)
        review.save(update_fields=["closed_by", "closed_at", "sha256"])
        record_audit(action="access_review.closed", target=review, after={**counts, "sha256": review.sha256})
    return review


def _take(review_id: UUID, may: May) -> AccessReview:
    rows = AccessReview.objects.select_for_update(no_key=True, of=("self",)).filter(pk=review_id)
    review = first_or_raise(rows, AccessReviewNotFoundError)
    _require_right(review.tenant_id, may)
    if review.closed_at is not None:
        raise AccessReviewClosedError
    return review


def _require_right(tenant_id: UUID | None, may: May) -> None:
    needed = Permission.PEOPLE_MANAGE if tenant_id is None else Permission.MEMBERS_MANAGE
    if not may(needed):
        raise AccessReviewForbiddenError(values={"needed": needed})


def _own_among(review: AccessReview, lines: Iterable[AccessReviewLine]) -> list[UUID]:
    """Return the lines about the actor's own access; raise `AccessLineOwnError` if another person could decide."""
    actor = current_actor()
    own = [line for line in lines if actor.kind == "user" and line.person == actor.id]
    if own and has_other_reviewer(review.tenant_id, actor.id):
        _refuse(AccessLineOwnError, own)
    return [line.pk for line in own]


def _revoke(lines: Iterable[AccessReviewLine], note: str, may: May) -> None:
    for line in sorted(lines, key=lambda line: ORDER[line.kind]):  # type: ignore[index] # a value of AccessKind
        needed = right_to_revoke(line.kind)
        if needed is not None and not may(needed):
            raise AccessReviewForbiddenError(values={"needed": needed})
        revoke_access(line, note)


def _reread(review: AccessReview, *, is_changing: bool = False) -> tuple[int, int]:
    """Mark the open lines whose access has ended, and update the changed ones if wanted; return how many of each."""
    lines = list(AccessReviewLine.objects.filter(review=review, decision=AccessDecision.OPEN))
    current = current_lines(review.tenant_id, lines)
    ended = [line.pk for line in lines if _key(line) not in current]
    values = {"decision": AccessDecision.ENDED, "decided_by": actor_words(), "decided_at": read_clock()}
    AccessReviewLine.objects.filter(pk__in=ended).update(**values)
    changed = [
        line for line in lines if is_changing and _key(line) in current and _is_changed(line, current[_key(line)])
    ]
    for line in changed:
        for name in _REFRESHED:
            setattr(line, name, getattr(current[_key(line)], name))
    AccessReviewLine.objects.bulk_update(changed, _REFRESHED, batch_size=1_000)
    return len(changed), len(ended)


def _is_changed(line: AccessReviewLine, now: AccessReviewLine | None) -> bool:
    return now is None or any(getattr(line, name) != getattr(now, name) for name in _COMPARED)


def _key(line: AccessReviewLine) -> tuple[str, str]:
    return line.kind, line.object_id


def _refuse(error: type[Any], lines: Iterable[AccessReviewLine]) -> None:
    found = list(lines)
    if found:
        faults = [{"field": "lines", "code": error.code, "detail": str(line.pk)} for line in found[:_SHOWN]]
        raise error(values={"subjects": _words(found)}, errors=faults)


def _words(lines: Collection[AccessReviewLine]) -> str:
    names = ", ".join(line.subject for line in list(lines)[:_SHOWN])
    return names if len(lines) <= _SHOWN else f"{names}, … ({len(lines)})"


def _hash_lines(review: AccessReview) -> str:
    digest = hashlib.sha256()
    rows = AccessReviewLine.objects.filter(review=review).order_by("pk").values_list(*_HASHED)
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
