"""Errors of evidence packs."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class EvidencePeriodError(DomainError):
    code, category = "evidence_period", "invalid"
    title = gettext_noop("The period must begin before it ends, and have ended ten seconds ago.")


class EvidenceEmptyError(DomainError):
    code, category = "evidence_empty", "conflict"
    title = gettext_noop("The period has no audit entry. Correct it, or allow a pack without data.")


class EvidenceUnsealedError(DomainError):
    """Raised while entries of the period wait for their seals: a later pack of the period would contain more."""

    code, category = "evidence_unsealed", "conflict"
    title = gettext_noop("%(waiting)s audit entries of the period wait for their seals. Start run_auditor.")


class EvidenceFolderError(DomainError):
    code, category = "evidence_folder", "conflict"
    title = gettext_noop("%(folder)s cannot be used: %(error)s")


class EvidenceKeyError(DomainError):
    code, category = "evidence_key", "unavailable"
    title = gettext_noop("Packs are signed with AUDIT_SIGNING_KEY, which this process lacks.")


class EvidenceStoreError(DomainError):
    code, category = "evidence_store", "conflict"
    title = gettext_noop("Packs are stored in the archive: set ARCHIVE.")


class EvidenceNotStoredError(DomainError):
    code, category = "evidence_not_stored", "conflict"
    title = gettext_noop("The pack is not stored: its state says whether it waits or has failed.")
