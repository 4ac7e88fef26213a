"""Dead letters that have not been requeued, grouped by kind and error fingerprint.

No read scans the letters: one probe of the index ``dead_letter_group`` finds each group, two more find its first and
last letter, and the index entries are counted up to a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from scheduling.errors.fingerprints import normalised_message
from scheduling.jobs.planner_hints import force_index_scans
from scheduling.jobs.queries import COUNT_LIMIT, CappedCount
from tenants.context import require_scope
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import fetch_all
from tenants.database.reads import from_row
from tenants.database.sql import load_sql
from tenants.encryption.error_texts import open_error, preload_error_keys

MAX_GROUPS = 200
# The most groups of single tenants that are read; across tenants those of one cause are merged.
MAX_PARTS = 2_000
# The index entries counted in all, and the least for each part.
COUNT_BUDGET, LEAST_COUNT = 100_000, 100
_SHOWN_CHARACTERS = 2_000
_LEAST_ID, _GREATEST_ID = UUID(int=0), UUID(int=2**128 - 1)

_SQL = load_sql(__file__)
_PARTS, _DESCRIBED = _SQL["find_parts"], _SQL["describe_parts"]


@dataclass(frozen=True, slots=True)
class TenantLetterCount:
    """How many dead letters of a group belong to one tenant."""

    slug: str
    count: CappedCount


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Dead letters of one kind and one cause; id, job, type and message are those of the newest letter.

    ``pattern`` is the message without its variable parts. ``tenants`` are ordered by their letters, most first.
    """

    kind: str
    fingerprint: str
    count: CappedCount
    first_at: datetime
    last_at: datetime
    last_id: UUID
    job_id: UUID
    type: str
    message: str
    pattern: str
    tenants: list[TenantLetterCount]


@dataclass(frozen=True, slots=True)
class DeadLetterGroups:
    """The groups of dead letters, the largest first; ``is_capped``: there are more groups than these."""

    groups: list[DeadLetterGroup]
    is_capped: bool


def group_dead_letters(
    *, since: datetime | None = None, until: datetime | None = None, kinds: Sequence[str] = ()
) -> DeadLetterGroups:
    """Group the dead letters of the current tenant context that have not been requeued, by kind and cause.

    ``since`` and ``until`` bound the creation times that the letters' ids contain; ``kinds`` restricts the kinds.
    """
    found = fetch_all(_PARTS, {"tenant_id": require_scope().tenant_id, "parts": MAX_PARTS}, is_planned=True)
    parts = [part for part in found if not kinds or part.kind in kinds]
    counted = count_limit(len(parts))
    # The planner would read a part that it believes to be small as a whole, or every letter, to count it.
    with force_index_scans():
        values = {**_ranges(since, until), **_columns(parts), "counted": counted}
        rows = fetch_all(_DESCRIBED, values, is_planned=True)
    preload_error_keys((row.tenant_id, row.error_message) for row in rows)
    same: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        same.setdefault((row.kind, row.fingerprint), []).append(row)
    groups = sorted((_merge(rows_of_one, counted) for rows_of_one in same.values()), key=_order)
    return DeadLetterGroups(groups[:MAX_GROUPS], is_capped=len(found) >= MAX_PARTS or len(groups) > MAX_GROUPS)


def count_limit(parts: int) -> int:
    """Return how many letters to count at most in each of ``parts`` groups, so that the total is bounded."""
    return max(LEAST_COUNT, min(COUNT_LIMIT, COUNT_BUDGET // max(1, parts)))


def _ranges(since: datetime | None, until: datetime | None) -> dict[str, UUID]:
    return {
        "since": _LEAST_ID if since is None else uuid7_floor(since),
        "until": _GREATEST_ID if until is None else uuid7_floor(until),
    }


def _columns(parts: Sequence[Any]) -> dict[str, list[Any]]:
    return {
        "tenants": [part.tenant_id for part in parts],
        "kinds": [part.kind for part in parts],
        "fingerprints": [part.fingerprint for part in parts],
    }


def _merge(parts: Sequence[Any], counted: int) -> DeadLetterGroup:
    """Return the parts of one cause, one a tenant, as one group."""
    shares = sorted(
        (TenantLetterCount(row.slug, CappedCount(min(row.count, counted), row.count > counted)) for row in parts),
        key=lambda share: (-share.count.value, share.slug),
    )
    last = max(parts, key=lambda row: row.last_id)
    message = open_error(last.error_message, tenant_id=last.tenant_id, owner_id=last.job_id)[:_SHOWN_CHARACTERS]
    return from_row(
        DeadLetterGroup,
        last,
        count=CappedCount(sum(share.count.value for share in shares), any(share.count.is_capped for share in shares)),
        first_at=min(row.first_at for row in parts),
        last_at=max(row.last_at for row in parts),
        type=last.error_type,
        message=message,
        pattern=normalised_message(last.error_type, message),
        tenants=shares,
    )


def _order(group: DeadLetterGroup) -> tuple[int, str, str]:
    return -group.count.value, group.kind, group.fingerprint
