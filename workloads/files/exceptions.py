"""Errors of files."""

from __future__ import annotations

import sys

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class UploadRefusedError(DomainError):
    """Refused upload: no file was stored; ``errors`` has the reasons by file."""

    code = "upload_refused"
    category = "invalid"
    title = gettext_noop("The upload was refused; no file was stored.")


class FileNotFoundInTenantError(DomainError):
    code = "not_found"
    category = "not_found"
    title = gettext_noop("There is no such file.")


class LinkInvalidError(DomainError):
    """Link that was not made here, was changed, or has expired; the answer does not reveal which."""

    code = "not_found"
    category = "not_found"
    title = gettext_noop("There is no such link, or it has expired.")


class FileUnreadableError(DomainError):
    code = "file_not_stored"
    category = "unavailable"
    title = gettext_noop("The file cannot be read from the storage at the moment.")


def storage_errors() -> tuple[type[Exception], ...]:
    """Return the errors that a storage raises for an unreadable file: OSError, and boto3's if a storage uses it."""
    botocore = sys.modules.get("botocore.exceptions")
    return (OSError,) if botocore is None else (OSError, botocore.BotoCoreError, botocore.ClientError)
