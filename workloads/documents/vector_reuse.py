"""Reuse of a tenant's vectors: a text is not embedded again if a chunk has its vector from the same model.

The chunks themselves are the cache, so nothing else can be stale, grow or survive an erasure. Vectors are never shared
between tenants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from tenants.context import tenant_context
from tenants.signals import cache_asked
from workloads.documents.embedding import Vectors
from workloads.documents.models import Chunk

CACHE = "embeddings"


def digest_of_text(model: str, text: str) -> UUID:
    """Return a digest of the model and the text, which determine the vector."""
    return UUID(bytes=hashlib.sha256(f"{model}\x00{text}".encode("utf-8", "surrogatepass")).digest()[:16])


def known_vectors(tenant_id: UUID, texts: Sequence[str], *, model: str) -> dict[UUID, Any]:
    """Return the vectors that chunks of the tenant already have for these texts, by the digests of the texts."""
    digests = {digest_of_text(model, text) for text in texts}
    with tenant_context(tenant_id):
        rows = Chunk.objects.filter(vector_digest__in=digests)
        first = rows.order_by("vector_digest").distinct("vector_digest")
        found: Iterable[tuple[Any, Any]] = first.values_list("vector_digest", "embedding")
        return dict(found)


def combine(
    texts: Sequence[str], known: Mapping[UUID, Any], *, model: str, embed: Callable[[Sequence[str]], Vectors]
) -> tuple[Vectors, int]:
    """Return one vector per text, in order, and how many of them were known.

    ``embed`` is called at most once, with the distinct texts that are not known. The function reads no table.
    """
    digests = [digest_of_text(model, text) for text in texts]
    reused = sum(digest in known for digest in digests)
    missing = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in known}
    found = {**known, **dict(zip(missing, embed(list(missing.values())), strict=True))} if missing else known
    for place, count in (("reused", reused), ("computed", len(digests) - reused)):
        if count:
            cache_asked.send(None, cache=CACHE, place=place, count=count)
    return np.asarray([found[digest] for digest in digests], dtype=np.float32), reused
