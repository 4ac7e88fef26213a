"""Errors of documents."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class DocumentNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such document.")


class DocumentDuplicateError(DomainError):
    code, category = "document_duplicate", "conflict"
    title = gettext_noop("Another document of the dataset already has this content with the same chunk settings.")


class DocumentHasNoAddressError(DomainError):
    code, category = "document_without_address", "conflict"
    title = gettext_noop("The document has no URL, so it cannot be fetched again.")


class DocumentBusyError(DomainError):
    code, category = "document_busy", "conflict"
    title = gettext_noop("The document is being changed by another request; try again.")


class EditsWouldBeLostError(DomainError):
    code, category = "edits_would_be_lost", "conflict"
    title = gettext_noop("Chunks were changed by hand; re-indexing replaces them.")


class PreviewRefusedError(DomainError):
    code, category = "preview_refused", "invalid"
    title = gettext_noop("The file or text cannot be split into chunks.")


class PreviewBusyError(DomainError):
    code, category = "preview_busy", "unavailable"
    title = gettext_noop("Other previews run at the moment; try again in a few seconds.")


class PreviewUnavailableError(DomainError):
    code, category = "preview_unavailable", "unavailable"
    title = gettext_noop("Files cannot be read at the moment.")
