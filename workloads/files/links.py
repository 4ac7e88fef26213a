"""Links by which one file can be downloaded without a login, until they expire.

A link is signed, and contains its tenant, its file and its expiry time. It is not stored, so it can end earlier only if
its file is deleted or its tenant erased.
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
from workloads.files.contents import StoredFileError
from workloads.files.exceptions import FileUnreadableError, LinkInvalidError
from workloads.files.models import Artifact, StoredFile, UploadedFile
from workloads.files.store import fetch

MIN_SECONDS, DEFAULT_SECONDS, MAX_SECONDS = 10, 300, 24 * 60 * 60
_SALT = "files.download"


@dataclass(frozen=True, slots=True)
class DownloadLink:
    """The path of a download, without the host, and the time at which it expires."""

    path: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Download:
    """The file that a link leads to. The content is a temporary copy, verified by its hash."""

    name: str
    content_type: str
    size_bytes: int
    content: IO[bytes]


def make_link(*, file: StoredFile, seconds: int = DEFAULT_SECONDS, reason: str = "") -> DownloadLink:
    """Return a link to the file that is valid for ``seconds``.

    An audit entry records who created it, because anyone who has the link can read the file.
    """
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
    """Return the file that a link leads to.

    Raise `LinkInvalidError` if the link is invalid or expired, or its file is deleted; `FileUnreadableError` if the
    storage fails.
    """
    try:
        tenant, file, expires = signing.loads(token, salt=_SALT)
        tenant_id, file_id, end = UUID(hex=tenant), UUID(hex=file), datetime.fromtimestamp(expires, UTC)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise LinkInvalidError from error
    if timezone.now() >= end:
        raise LinkInvalidError
    with tenant_context(tenant_id):
        named = (model.objects.filter(pk=file_id, tenant_id=tenant_id).first() for model in (UploadedFile, Artifact))
        found = next(filter(None, named), None)
    if found is None:
        raise LinkInvalidError
    try:
        content = fetch(found.key, found.sha256)
    except StoredFileError as error:
        raise FileUnreadableError from error
    return Download(found.name, found.content_type, found.size_bytes, content)
