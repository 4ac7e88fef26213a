"""Errors of sources of documents."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class SourceNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such document source.")


class SourceNameTakenError(DomainError):
    code, category = "source_name_taken", "conflict"
    title = gettext_noop("A document source with this name already exists.")


class SourceInvalidError(DomainError):
    """The configuration or the credentials do not fit the connector; ``errors`` has each fault."""

    code, category = "source_invalid", "invalid"
    title = gettext_noop("The configuration of the document source is not valid.")


class TooManySourcesError(DomainError):
    code, category = "too_many_sources", "conflict"
    title = gettext_noop("The tenant has reached its limit of document sources.")


class SourceDisabledError(DomainError):
    code, category, title = "source_disabled", "conflict", gettext_noop("The document source is disabled.")


class SyncRunningError(DomainError):
    code, category = "sync_running", "conflict"
    title = gettext_noop("A sync of the document source already waits or runs.")
