"""Dead letters that wait, grouped by kind and error fingerprint.

Nothing reads the letters one after another: the groups are found by one probe each along the index
``dead_letter_group``, their ends by two more, and their letters are counted in it up to a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.fingerprints import normalised_message
from scheduling.selectors.index_alone import by_index_alone
from scheduling.selectors.jobs import COUNT_LIMIT, CappedCount
from tenants.context import require_scope
from tenants.ids import uuid7_floor

MAX_GROUPS = 200
# Groups of single tenants that are looked at; behind the door those of one cause become one.
MAX_PARTS = 2_000
# Entries of the index that are counted in all, and of each part at least.
COUNT_BUDGET, LEAST_COUNT = 100_000, 100
type Part = tuple[UUID, str, str]
_LEAST_ID, _GREATEST_ID = UUID(int=0), UUID(int=2**128 - 1)

_PARTS = """
    WITH RECURSIVE part AS (
        (SELECT tenant_id, kind, error_fingerprint FROM scheduling_deadletter
        WHERE requeued_at IS NULL AND (%(tenant_id)s::uuid IS NULL OR tenant_id = %(tenant_id)s)
        ORDER BY tenant_id, kind, error_fingerprint LIMIT 1)
        UNION ALL
        SELECT n.tenant_id, n.kind, n.error_fingerprint
        FROM part p CROSS JOIN LATERAL (
            (SELECT d.tenant_id, d.kind, d.error_fingerprint FROM scheduling_deadletter d
            WHERE d.requeued_at IS NULL AND d.tenant_id = p.tenant_id
                AND (d.kind, d.error_fingerprint) > (p.kind, p.error_fingerprint)
            ORDER BY d.kind, d.error_fingerprint LIMIT 1)
            UNION ALL
            (SELECT d.tenant_id, d.kind, d.error_fingerprint FROM scheduling_deadletter d
            WHERE d.requeued_at IS NULL AND d.tenant_id > p.tenant_id AND %(tenant_id)s::uuid IS NULL
            ORDER BY d.tenant_id, d.kind, d.error_fingerprint LIMIT 1)
            LIMIT 1
        ) n
    )
    SELECT tenant_id, kind, error_fingerprint FROM part LIMIT %(parts)s
"""
# Compared as rows within the tenant, a part's ends are found by that one index alone, whatever the planner believes of
# how rare a cause is. An index begins where its first columns are equal: the tenant may not stand in the row.
_ENDS = """
            FROM scheduling_deadletter d
            WHERE d.requeued_at IS NULL AND d.tenant_id = p.tenant_id
                AND (d.kind, d.error_fingerprint, d.id) >= (p.kind, p.error_fingerprint, %(since)s)
                AND (d.kind, d.error_fingerprint, d.id) < (p.kind, p.error_fingerprint, %(until)s)
"""
_DESCRIBED = """
    SELECT p.tenant_id, t.slug, p.kind, p.error_fingerprint, c.count, first.created_at, last.created_at, last.id,
        last.job_id, last.error_type, last.error_message
    FROM unnest(%(tenants)s::uuid[], %(kinds)s::text[], %(fingerprints)s::text[])
            AS p(tenant_id, kind, error_fingerprint)
        JOIN tenants_tenant t ON t.id = p.tenant_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS count FROM (
                SELECT <ends> ORDER BY d.kind, d.error_fingerprint, d.id LIMIT %(counted)s + 1
            ) bounded
        ) c
        CROSS JOIN LATERAL (
            SELECT d.created_at <ends> ORDER BY d.kind, d.error_fingerprint, d.id LIMIT 1
        ) first
        CROSS JOIN LATERAL (
            SELECT d.id, d.job_id, d.created_at, d.error_type, left(d.error_message, 2000) AS error_message
            <ends> ORDER BY d.kind DESC, d.error_fingerprint DESC, d.id DESC LIMIT 1
        ) last
""".replace("<ends>", _ENDS)


@dataclass(frozen=True, slots=True)
class TenantShare:
    """How many letters of a group are one tenant's."""

    slug: str
    count: CappedCount


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Letters of one kind and one cause; the last one's id, job, type and message stand for all.

    ``pattern`` is the message without what changes from one letter to the next. ``tenants`` has those with most first.
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
    tenants: list[TenantShare]


@dataclass(frozen=True, slots=True)
class DeadLetterGroups:
    """The groups with most letters first; ``is_capped``: there are groups that were not looked at, or are not shown."""

    groups: list[DeadLetterGroup]
    is_capped: bool


def group_dead_letters(
    *, since: datetime | None = None, until: datetime | None = None, kinds: Sequence[str] = ()
) -> DeadLetterGroups:
    """The dead letters of the scope of the moment that wait, grouped; of a span by the times in their ids."""
    with connection.cursor() as cursor:
        cursor.execute(_PARTS, {"tenant_id": require_scope().tenant_id, "parts": MAX_PARTS})
        found: list[Part] = cursor.fetchall()
        parts = [part for part in found if not kinds or part[1] in kinds]
        counted = count_limit(len(parts))
        # To count a part of a cause that it believes to be small, the planner would read it whole, or every letter.
        with by_index_alone():
            cursor.execute(_DESCRIBED, {**_ranges(since, until), **_columns(parts), "counted": counted})
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    same: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for row in rows:
        same.setdefault((row[2], row[3]), []).append(row)
    groups = sorted((_merge(rows_of_one, counted) for rows_of_one in same.values()), key=_order)
    return DeadLetterGroups(groups[:MAX_GROUPS], is_capped=len(found) >= MAX_PARTS or len(groups) > MAX_GROUPS)


def count_limit(parts: int) -> int:
    """How far each part is counted, so that all of them together are not counted without end."""
    return max(LEAST_COUNT, min(COUNT_LIMIT, COUNT_BUDGET // max(1, parts)))


def _ranges(since: datetime | None, until: datetime | None) -> dict[str, UUID]:
    return {
        "since": _LEAST_ID if since is None else uuid7_floor(since),
        "until": _GREATEST_ID if until is None else uuid7_floor(until),
    }


def _columns(parts: Sequence[Part]) -> dict[str, list[Any]]:
    return {
        "tenants": [part[0] for part in parts],
        "kinds": [part[1] for part in parts],
        "fingerprints": [part[2] for part in parts],
    }


def _merge(parts: Sequence[tuple[Any, ...]], counted: int) -> DeadLetterGroup:
    """The parts that single tenants have in one cause, as one group."""
    shares = sorted(
        (TenantShare(row[1], CappedCount(min(row[4], counted), row[4] > counted)) for row in parts),
        key=lambda share: (-share.count.value, share.slug),
    )
    last = max(parts, key=lambda row: row[7])
    _, _, kind, fingerprint, _, _, last_at, last_id, job_id, error_type, message = last
    return DeadLetterGroup(
        kind=kind,
        fingerprint=fingerprint,
        count=CappedCount(sum(share.count.value for share in shares), any(share.count.is_capped for share in shares)),
        first_at=min(row[5] for row in parts),
        last_at=max(last_at, *(row[6] for row in parts)),
        last_id=last_id,
        job_id=job_id,
        type=error_type,
        message=message,
        pattern=normalised_message(error_type, message),
        tenants=shares,
    )


def _order(group: DeadLetterGroup) -> tuple[int, str, str]:
    return -group.count.value, group.kind, group.fingerprint
