"""Parents of chunks: the passages that searches return in place of the small chunks that they find.

A parent is not stored: its chunks follow each other, each with the range of all of them in its location.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from uuid import UUID

from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from workloads.documents.models import Chunk

_READ = load_sql(__file__)["read_parents"]


def without_siblings(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Return the first chunk of each parent, and all that have none, in their order."""
    first: dict[Hashable, Chunk] = {}
    for chunk in chunks:
        parent = chunk.location.get("parent")
        first.setdefault((chunk.document_id, *parent) if parent else chunk.pk, chunk)
    return list(first.values())


def read_texts(chunks: Sequence[Chunk]) -> dict[UUID, str]:
    """Return by the id of each chunk the text of its parent, or its own if it has none.

    The text of a parent is that of its chunks as they are now, without those that are switched off. Call it in the
    tenant's scope.
    """
    texts = {chunk.pk: chunk.text for chunk in chunks}
    children = [chunk for chunk in chunks if "parent" in chunk.location]
    if children:
        parameters = {
            "tenant_id": children[0].tenant_id,
            "ids": [chunk.pk for chunk in children],
            "documents": [chunk.document_id for chunk in children],
            "firsts": [chunk.location["parent"][0] for chunk in children],
            "lasts": [chunk.location["parent"][1] for chunk in children],
        }
        texts |= {row.id: row.text for row in fetch_all(_READ, parameters, is_planned=True)}
    return texts
