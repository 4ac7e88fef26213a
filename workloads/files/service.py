"""Service that changes uploaded files. Each change is one transaction with its audit entry."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.files.base import File
from django.db import transaction

from tenants.audit.service import AuditTarget, record_audit
from tenants.context import tenant_context
from tenants.models import Tenant
from workloads.files.contents import NewContent
from workloads.files.incoming import inspect_files
from workloads.files.models import UploadedFile
from workloads.files.store import discard_on_commit, discard_on_error, storage_key, store_contents

# Names in an audit entry; the rest of a large upload is counted.
_AUDITED_NAMES = 20


def upload_files(*, tenant: Tenant, files: Sequence[File[bytes]]) -> list[UploadedFile]:
    """Store all the files or none, and return their rows. Files with equal content share one stored copy.

    Raise `UploadRefusedError` or `SpaceExceededError`; then nothing is stored.
    """
    with discard_on_error(tenant.pk) as written, tenant_context(tenant):
        incoming = inspect_files(files)
        contents = {file.sha256: NewContent(file.sha256, file.size_bytes, file.content) for file in incoming}
        store_contents(tenant.pk, contents.values(), written=written)
        rows = [
            UploadedFile(
                tenant=tenant,
                name=file.name,
                content_type=file.content_type,
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                key=storage_key(tenant.pk, file.sha256),
            )
            for file in incoming
        ]
        UploadedFile.objects.bulk_create(rows)
        record_audit(
            action="files.uploaded",
            target=AuditTarget("files.uploadedfile", str(rows[0].pk), tenant.pk),
            after={
                "files": len(rows),
                "names": [row.name for row in rows[:_AUDITED_NAMES]],
                "bytes": sum(row.size_bytes for row in rows),
            },
        )
    return rows


@transaction.atomic
def delete_file(*, file: UploadedFile, reason: str = "") -> None:
    """Delete an uploaded file.

    Its content is deleted when no row refers to it any more; jobs that still need it fail.
    """
    before = {"name": file.name, "bytes": file.size_bytes, "sha256": file.sha256}
    record_audit(action="file.deleted", target=file, before=before, reason=reason)
    discard_on_commit(file.tenant_id, file.key)
    file.delete()
