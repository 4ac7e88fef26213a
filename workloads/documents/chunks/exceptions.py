"""Errors of chunks."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class ChunkNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such chunk.")


class ChunkVersionNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("The chunk has no such version.")


class DocumentNotCompletedError(DomainError):
    code, category = "document_not_completed", "conflict"
    title = gettext_noop("Chunks can be changed only when the indexing of their document is complete.")


class NoNextChunkError(DomainError):
    code, category = "no_next_chunk", "conflict"
    title = gettext_noop("The chunk is the last one of its document.")


class PlaceFullError(DomainError):
    code, category = "chunk_place_full", "conflict"
    title = gettext_noop("No chunk fits between these two any more; add it after the next one.")
