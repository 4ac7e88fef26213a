"""Errors of documents."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class DocumentNotFoundError(DomainError):
    code = "not_found"
    category = "not_found"
    title = gettext_noop("There is no such document.")


class DocumentDuplicateError(DomainError):
    code = "document_duplicate"
    category = "conflict"
    title = gettext_noop("The dataset has this content already, cut in the same way, as another document.")


class DocumentHasNoAddressError(DomainError):
    code = "document_without_address"
    category = "conflict"
    title = gettext_noop("The document was not taken from an address, so there is nothing to fetch again.")


class DocumentBusyError(DomainError):
    code = "document_busy"
    category = "conflict"
    title = gettext_noop("The document is being changed by another request; try again.")
