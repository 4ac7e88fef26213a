"""Queries of uploaded files."""

from __future__ import annotations

from uuid import UUID

from workloads.files.exceptions import FileNotFoundInTenantError
from workloads.files.models import UploadedFile


def get_file(file_id: UUID) -> UploadedFile:
    """Return one uploaded file of the current scope; raise `FileNotFoundInTenantError` if there is none."""
    file: UploadedFile | None = UploadedFile.objects.filter(pk=file_id).first()
    if file is None:
        raise FileNotFoundInTenantError
    return file
