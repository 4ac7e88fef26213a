"""Reads of dead letters: one filter, one list, one detail."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from scheduling.exceptions import DeadLetterNotFoundError
from scheduling.models import DeadLetter
from scheduling.selectors.jobs import COUNT_LIMIT, CappedCount, made_between


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters are meant; fields narrow each other, values in one field are alternatives.

    Times are aware, ``created_after`` inclusive, ``created_before`` exclusive. ``error`` is a
    fingerprint or a part of the error's type. ``newest_id`` freezes the set.
    """

    kinds: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    error: str | None = None
    is_requeued: bool | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    newest_id: UUID | None = None


def find_dead_letters(letter_filter: DeadLetterFilter) -> QuerySet[DeadLetter]:
    """The dead letters of the scope of the moment that match, newest first."""
    span = made_between(letter_filter.created_after, letter_filter.created_before)
    letters: QuerySet[DeadLetter] = DeadLetter.objects.order_by("-id").filter(span)
    if letter_filter.kinds:
        letters = letters.filter(kind__in=letter_filter.kinds)
    if letter_filter.reasons:
        letters = letters.filter(reason__in=letter_filter.reasons)
    if letter_filter.error:
        letters = letters.filter(
            Q(error_fingerprint=letter_filter.error) | Q(error_type__icontains=letter_filter.error)
        )
    if letter_filter.is_requeued is not None:
        letters = letters.filter(requeued_at__isnull=not letter_filter.is_requeued)
    if letter_filter.newest_id is not None:
        letters = letters.filter(id__lte=letter_filter.newest_id)
    return letters


def walked_dead_letters(letter_filter: DeadLetterFilter) -> QuerySet[DeadLetter] | None:
    """All letters among which a filter looks for its own one after another; None if the ids lead there."""
    by_id = replace(letter_filter, kinds=(), reasons=(), error=None, is_requeued=None)
    return None if by_id == letter_filter else find_dead_letters(by_id)


def next_dead_letter_ids(letter_filter: DeadLetterFilter, *, after: UUID | None, limit: int) -> list[UUID]:
    """The ids of the next ``limit`` matching dead letters, oldest first: one chunk of a bulk act."""
    letters = find_dead_letters(letter_filter).order_by("id")
    if after is not None:
        letters = letters.filter(id__gt=after)
    return list(letters.values_list("id", flat=True)[:limit])


def count_dead_letters(letter_filter: DeadLetterFilter, *, limit: int = COUNT_LIMIT) -> CappedCount:
    """How many dead letters match, looking at no more than ``limit`` + 1 of them."""
    counted = find_dead_letters(letter_filter).order_by().values("id")[: limit + 1].count()
    return CappedCount(min(counted, limit), counted > limit)


def get_dead_letter(dead_letter_id: UUID) -> DeadLetter:
    """One dead letter; `DeadLetterNotFoundError` for another tenant's as for none."""
    letter = DeadLetter.objects.filter(id=dead_letter_id).first()
    if letter is None:
        raise DeadLetterNotFoundError
    return letter
