"""The counters of what a tenant's documents take up: kept where documents change, proved by a recount."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.processors.retrieval.limits import STORAGE_BYTES, VECTOR_CHUNKS
from scheduling.processors.retrieval.models import Document
from tenants.context import all_tenants
from tenants.limits import NO_PERIOD
from tenants.selectors.tenant_pages import IN_PAGE, TenantPage, read_pages
from tenants.services.usage import change_stored, check_room

# Documents say how many chunks they have and how large they are: no chunk is looked at.
_RECOUNTED = f"""
recounted AS (
    SELECT tenant_id, %(chunks)s::text AS key, sum(coalesce(chunks_total, 0))::bigint AS amount
    FROM retrieval_document WHERE {IN_PAGE} GROUP BY 1
    UNION ALL
    SELECT tenant_id, %(bytes)s::text, sum(size_bytes)::bigint
    FROM (
        SELECT DISTINCT ON (tenant_id, storage_key) tenant_id, size_bytes FROM retrieval_document WHERE {IN_PAGE}
    ) AS content
    GROUP BY 1
)
"""  # noqa: S608 - constants
_DIFFERENCES = f"""
WITH {_RECOUNTED}, counted AS (
    SELECT tenant_id, key, amount FROM tenants_tenantusage
    WHERE {IN_PAGE} AND key IN (%(chunks)s, %(bytes)s) AND period = %(period)s
)
SELECT tenant_id, key, coalesce(c.amount, 0), coalesce(r.amount, 0)
FROM counted c FULL JOIN recounted r USING (tenant_id, key)
WHERE coalesce(c.amount, 0) <> coalesce(r.amount, 0) ORDER BY 1, 2
"""  # noqa: S608 - constants
# The counters' rows are locked, and then the documents counted by a statement that sees all that was waited for.
_HOLD = f"""
SELECT 1 FROM tenants_tenantusage
WHERE {IN_PAGE} AND key IN (%(chunks)s, %(bytes)s) AND period = %(period)s FOR UPDATE
"""  # noqa: S608 - constants
_REPAIR = f"""
WITH {_RECOUNTED}, emptied AS (
    UPDATE tenants_tenantusage SET amount = 0
    WHERE {IN_PAGE} AND key IN (%(chunks)s, %(bytes)s) AND period = %(period)s
        AND (tenant_id, key) NOT IN (SELECT tenant_id, key FROM recounted)
)
INSERT INTO tenants_tenantusage (tenant_id, key, period, amount)
SELECT tenant_id, key, %(period)s, amount FROM recounted
ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = excluded.amount
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class SpaceDifference:
    """A counter that is not what the documents add up to."""

    tenant_id: UUID
    key: str
    counted: int
    recounted: int


def take_storage(tenant_id: UUID, sizes: Mapping[str, int]) -> None:
    """Count contents (storage key → bytes) that are about to be stored, but those that are there.

    Raises SpaceExceededError. Needs the contents' locks, so that nobody stores or deletes them meanwhile.
    """
    check_room(tenant_id=tenant_id, limit=VECTOR_CHUNKS)
    known = set(Document.objects.filter(storage_key__in=list(sizes)).values_list("storage_key", flat=True))
    new = sum(size for key, size in sizes.items() if key not in known)
    change_stored(tenant_id=tenant_id, limit=STORAGE_BYTES, change=new)


def release_space(document: Document) -> None:
    """Count a document no more that is about to be deleted. Needs the lock of its content."""
    change_stored(tenant_id=document.tenant_id, limit=VECTOR_CHUNKS, change=-(document.chunks_total or 0))
    if not Document.objects.filter(storage_key=document.storage_key).exclude(pk=document.pk).exists():
        change_stored(tenant_id=document.tenant_id, limit=STORAGE_BYTES, change=-document.size_bytes)


def take_chunks(document: Document, total: int) -> None:
    """Count the chunks that a document will have; SpaceExceededError for more than there is room for."""
    change = total - (document.chunks_total or 0)
    change_stored(tenant_id=document.tenant_id, limit=VECTOR_CHUNKS, change=change)


def verify_space(*, repair: bool = False) -> Sequence[SpaceDifference]:
    """The counters that are not what the documents add up to; ``repair`` writes what they do, page by page."""
    return [difference for page in read_pages() for difference in verify_space_page(page, repair=repair)]


def verify_space_page(page: TenantPage, *, repair: bool = False) -> Sequence[SpaceDifference]:
    """The same for a page of tenants, in one transaction."""
    parameters: dict[str, Any] = {
        **page.parameters(),
        "chunks": VECTOR_CHUNKS.key,
        "bytes": STORAGE_BYTES.key,
        "period": NO_PERIOD,
    }
    with all_tenants(), connection.cursor() as cursor:
        if repair:
            cursor.execute(_HOLD, parameters)
        cursor.execute(_DIFFERENCES, parameters)
        differences = [SpaceDifference(*row) for row in cursor.fetchall()]
        if repair and differences:
            cursor.execute(_REPAIR, parameters)
    return differences
