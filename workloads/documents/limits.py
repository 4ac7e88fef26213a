"""The limits that this app declares: files per batch, and chunks."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from tenants.limits.declared import Limit, LimitPeriod

FILES_PER_BATCH: Final = Limit(
    key="document_indexing.files_per_batch",
    title=gettext_noop("Files in one batch"),
    unit=gettext_noop("files"),
    counts=gettext_noop("Files of one upload."),
    span=LimitPeriod.EACH,
    enforced_at="upload",
    # Equal to the smallest of the initial plans.
    default=5,
)
VECTOR_CHUNKS: Final = Limit(
    key="vector_chunks",
    title=gettext_noop("Vector space"),
    unit=gettext_noop("chunks"),
    counts=gettext_noop("Chunks of all documents; a document's chunks count as soon as their number is known."),
    span=LimitPeriod.NOW,
    enforced_at="upload and indexing",
    is_counter=True,
    warns=True,
)
LIMITS: Final = (FILES_PER_BATCH, VECTOR_CHUNKS)
