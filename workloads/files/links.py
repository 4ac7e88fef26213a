"""Links that let whoever has one download one file, until their time is over.

A link is signed and names its tenant, its file and its end; nothing of it is stored, so what ends it earlier is that
the file is deleted, or its tenant erased.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO
from urllib.parse import urlencode
from uuid import UUID

from django.core import signing
from django.urls import reverse
from django.utils import timezone

from tenants.audit.service import record_audit
from tenants.context import tenant_context
from workloads.files.exceptions import FileUnreadableError, LinkInvalidError
from workloads.files.models import UploadedFile
from workloads.files.store import StoredFileError, fetch

MIN_SECONDS, DEFAULT_SECONDS, MAX_SECONDS = 10, 300, 24 * 60 * 60
_SALT = "files.download"


@dataclass(frozen=True, slots=True)
class DownloadLink:
    """Where a file can be downloaded from, without its host, and until when."""

    path: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Download:
    """A file that a link led to. The content is a private copy, verified by its hash."""

    name: str
    content_type: str
    size_bytes: int
    content: IO[bytes]


def make_link(*, file: UploadedFile, seconds: int = DEFAULT_SECONDS, reason: str = "") -> DownloadLink:
    """A link to the file for so long; who made it stands in the audit log, for whoever has it can read the file."""
    expires_at = (timezone.now() + timedelta(seconds=seconds)).replace(microsecond=0)
    token = signing.dumps([file.tenant_id.hex, file.pk.hex, int(expires_at.timestamp())], salt=_SALT)
    record_audit(
        action="file.link_made",
        target=file,
        after={"name": file.name, "expires_at": expires_at.isoformat()},
        reason=reason,
    )
    return DownloadLink(f"{reverse('file-download')}?{urlencode({'link': token})}", expires_at)


def open_link(token: str) -> Download:
    """The file of a link; LinkInvalidError for what is none, or none any more."""
    try:
        tenant, file, expires = signing.loads(token, salt=_SALT)
        tenant_id, file_id, end = UUID(hex=tenant), UUID(hex=file), datetime.fromtimestamp(expires, UTC)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise LinkInvalidError from error
    if timezone.now() >= end:
        raise LinkInvalidError
    with tenant_context(tenant_id):
        found = UploadedFile.objects.filter(pk=file_id, tenant_id=tenant_id).first()
    if found is None:
        raise LinkInvalidError
    try:
        content = fetch(found.key, found.sha256)
    except StoredFileError as error:
        raise FileUnreadableError from error
    return Download(found.name, found.content_type, found.size_bytes, content)
