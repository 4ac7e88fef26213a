"""Errors of the archive."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from scheduling.exceptions import JobNotFoundError
from tenants.exceptions import DomainError

RETRY_SECONDS = 60


class ArchiveUnavailableError(DomainError):
    """Raised if the storage of the archive does not respond or is not set; nothing is deleted meanwhile."""

    code, category, title = "archive_unavailable", "unavailable", gettext_noop("The storage of the archive is away")


class ArchiveDamagedError(DomainError):
    code, category, title = "archive_damaged", "conflict", gettext_noop("The archived object is missing or was changed")


class ArchiveTakenOverError(RuntimeError):
    """The row of an object was removed while the object was written; the deletion of its jobs is rolled back."""


class JobArchivedError(JobNotFoundError):
    """Raised for a job that retention has deleted and that is in the archive."""

    code, title = "job_archived", gettext_noop("The job is in the archive: read it at jobs/{id}/archived/")


class NotArchivedError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such archived job or object")


class NotRestorableError(DomainError):
    code, category = "archive_not_restorable", "conflict"
    title = gettext_noop("A queue of the jobs was deleted; no job was restored")
