"""Queries of uploaded files."""

from __future__ import annotations

from uuid import UUID

from tenants.database.reads import first_or_raise
from workloads.files.exceptions import FileNotFoundInTenantError
from workloads.files.models import UploadedFile


def get_file(file_id: UUID) -> UploadedFile:
    """Return one uploaded file of the current scope; raise `FileNotFoundInTenantError` if there is none."""
    return first_or_raise(UploadedFile.objects.filter(pk=file_id), FileNotFoundInTenantError)
