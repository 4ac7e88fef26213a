"""Causes of failures: the failed attempts of a time range and the waiting dead letters, merged by fingerprint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from scheduling.errors.fingerprints import normalised_message
from scheduling.errors.queries import MAX_GROUPS, ErrorGroup, group_errors
from scheduling.jobs.dead_letters.groups import MAX_PARTS, DeadLetterGroup, group_dead_letters
from scheduling.jobs.queries import CappedCount


@dataclass(frozen=True, slots=True)
class Cause:
    """Failures of one cause in all tenants; type, message and job are those of the newest.

    ``errors`` are the failed attempts of the time range, ``trend`` their numbers in its parts; ``letters`` the dead
    letters that were not requeued, of any time. ``tenants`` have the greater of both numbers, the greatest first.
    """

    fingerprint: str
    kinds: list[str]
    type: str
    message: str
    normalised: str
    errors: int
    trend: list[int]
    letters: CappedCount
    tenants: list[tuple[str, int]]
    first_at: datetime
    last_at: datetime
    job_id: UUID


@dataclass(frozen=True, slots=True)
class Causes:
    """Causes, the most frequent first; ``is_cut``: there are more, ``is_capped``: older errors were not counted."""

    causes: list[Cause]
    is_cut: bool
    is_capped: bool


def find_causes(*, since: datetime, until: datetime) -> Causes:
    """Return the causes of the current tenant context: of errors of the time range, and of all waiting dead letters."""
    errors, letters = group_errors(since=since, until=until, limit=MAX_PARTS), group_dead_letters()
    # Without an error there is no fingerprint, and each kind is a cause.
    found: dict[str, tuple[list[ErrorGroup], list[DeadLetterGroup]]] = {}
    for error in errors.groups:
        found.setdefault(error.fingerprint, ([], []))[0].append(error)
    for letter in letters.groups:
        found.setdefault(letter.fingerprint or f"of {letter.kind}", ([], []))[1].append(letter)
    causes = sorted((_merge(*parts) for parts in found.values()), key=_order)
    is_cut = letters.is_capped or len(errors.groups) >= MAX_PARTS or len(causes) > MAX_GROUPS
    return Causes(causes[:MAX_GROUPS], is_cut, errors.is_capped)


def _order(cause: Cause) -> tuple[int, str]:
    return -max(cause.errors, cause.letters.value), cause.fingerprint


def _merge(errors: Sequence[ErrorGroup], letters: Sequence[DeadLetterGroup]) -> Cause:
    failed, dead = Counter[str](), Counter[str]()
    for error in errors:
        failed[error.slug] += error.count
    for share in (share for group in letters for share in group.tenants):
        dead[share.slug] += share.count.value
    parts: list[ErrorGroup | DeadLetterGroup] = [*errors, *letters]
    last = max(parts, key=lambda part: part.last_at)
    return Cause(
        fingerprint=last.fingerprint,
        kinds=sorted({kind for error in errors for kind in error.kinds} | {group.kind for group in letters}),
        type=last.type,
        message=last.message,
        normalised=normalised_message(last.type, last.message),
        errors=failed.total(),
        trend=[sum(part) for part in zip(*(error.trend for error in errors), strict=True)],
        letters=CappedCount(dead.total(), any(group.count.is_capped for group in letters)),
        tenants=(failed | dead).most_common(),
        first_at=min(part.first_at for part in parts),
        last_at=last.last_at,
        job_id=last.job_id,
    )
