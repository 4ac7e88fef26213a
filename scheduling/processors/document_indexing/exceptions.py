"""What documents refuse."""

from __future__ import annotations

from tenants.exceptions import DomainError


class DocumentNotFoundError(DomainError):
    code = "not_found"
    category = "not_found"
    title = "There is no such document."


class DocumentBusyError(DomainError):
    code = "document_busy"
    category = "conflict"
    title = "The document is being changed by another request; try again."
