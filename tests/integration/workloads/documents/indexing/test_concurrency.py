"""Concurrent uploads, on their own connections and commits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from tests.integration.workloads.documents.indexing.conftest import stored_files
from workloads.documents.indexing.service import delete_document
from workloads.documents.indexing.uploads import UploadResult, upload_documents
from workloads.documents.models import Dataset, Document
from workloads.documents.service import create_dataset

UPLOADS = 6


@pytest.fixture
def committed(transactional_db: None) -> tuple[Tenant, Dataset]:
    """Return a tenant and a dataset that other connections see."""
    tenant = create_tenant(slug="acme", name="Acme", plan="team")
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(pk=tenant.pk)
    return tenant, create_dataset(tenant=tenant, name="handbook")


def test_concurrent_uploads_of_the_same_content_are_one_document(committed: tuple[Tenant, Dataset]) -> None:
    tenant, dataset = committed
    start = Barrier(UPLOADS)

    def upload(number: int) -> UploadResult:
        try:
            start.wait()
            file = SimpleUploadedFile(f"{number}.txt", b"The same bytes.")
            return upload_documents(tenant=tenant, dataset=dataset, files=[file])
        finally:
            connection.close()

    with ThreadPoolExecutor(UPLOADS) as pool:
        uploads = list(pool.map(upload, range(UPLOADS)))
    assert sum(not taken.files[0].is_duplicate for taken in uploads) == 1
    assert len({taken.files[0].document.pk for taken in uploads}) == 1
    with all_tenants():
        assert (Document.objects.count(), Job.objects.count()) == (1, 1)
    assert len(stored_files()) == 1


def test_file_is_never_deleted_during_an_upload_of_the_same_content(committed: tuple[Tenant, Dataset]) -> None:
    """Keep the file exactly while a document refers to it, in any order."""
    tenant, dataset = committed
    start = Barrier(2)

    def upload() -> UUID:
        file = SimpleUploadedFile("a.txt", b"The same bytes.")
        taken = upload_documents(tenant=tenant, dataset=dataset, files=[file])
        return taken.files[0].document.pk

    def race_upload() -> None:
        try:
            start.wait()
            upload()
        finally:
            connection.close()

    for _ in range(8):
        document_id = upload()
        with ThreadPoolExecutor(1) as pool:
            racing = pool.submit(race_upload)
            start.wait()
            with tenant_context(tenant):
                delete_document(document_id=document_id)
            racing.result()
        with tenant_context(tenant):
            keys = sorted(Document.objects.values_list("storage_key", flat=True))
        assert stored_files() == keys
