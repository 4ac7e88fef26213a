"""Errors of files."""

from __future__ import annotations

import sys

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class UploadRefusedError(DomainError):
    """Raised if an upload is refused: no file was stored; ``errors`` has the reasons by file."""

    code, category, title = "upload_refused", "invalid", gettext_noop("The upload was refused; no file was stored.")


class FileNotFoundInTenantError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such file.")


class LinkInvalidError(DomainError):
    """Raised for a link that is forged, altered or expired; the message does not reveal which."""

    code, category, title = "not_found", "not_found", gettext_noop("There is no such link, or it has expired.")


class FileUnreadableError(DomainError):
    code, category = "file_not_stored", "unavailable"
    title = gettext_noop("The file cannot be read from the storage at the moment.")


class MirrorSourceError(DomainError):
    """Raised if the storage from which contents are mirrored cannot be read at all."""

    code, category = "mirror_source", "unavailable"
    title = gettext_noop(
        "%(source)s cannot be read (%(error)s). Mount the folder, or check bucket and credentials; then run it again."
    )


class MirrorStorageError(DomainError):
    """Raised if the storage of this site refuses a mirrored content."""

    code, category = "mirror_storage", "unavailable"
    title = gettext_noop(
        "The file storage of this site refuses (%(error)s). Make room or grant the right; then run it again."
    )


def storage_errors() -> tuple[type[Exception], ...]:
    """Return the exception classes that the storage raises for an unreadable file.

    These are OSError and, if boto3 is in use, its own classes.
    """
    botocore = sys.modules.get("botocore.exceptions")
    return (OSError,) if botocore is None else (OSError, botocore.BotoCoreError, botocore.ClientError)
