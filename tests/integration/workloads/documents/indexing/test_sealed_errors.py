"""Sealed error texts of documents: stored by a failing job, and read in lists."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rest_framework.test import APIClient

from tenants.context import tenant_context
from tenants.encryption.data_keys import forget_keys
from tenants.encryption.error_texts import NOT_READABLE
from tenants.models import Tenant
from tests.integration.scheduling.jobs.test_sealed_values import MARKER, everything, master
from tests.integration.workloads.documents.indexing.conftest import upload
from tests.integration.workloads.documents.indexing.test_indexing import document_of
from tests.platform_settings import ChangePlatformSettings
from workloads.documents import repository
from workloads.documents.models import Dataset


@pytest.fixture(autouse=True)
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    yield
    forget_keys()


def test_text_of_a_failed_document_is_sealed_and_read(
    acme: Tenant, dataset: Dataset, acme_api: APIClient, change_platform_settings: ChangePlatformSettings
) -> None:
    taken = upload(dataset, a_txt=b"One.")
    document = taken.files[0].document
    source = repository.read_source(acme.pk, document.pk, job_id=document.job_id)
    with tenant_context(acme):
        repository.fail(source, code="file_damaged", message=f"{MARKER} {'x' * 2_000}")
    assert MARKER not in everything()
    stored = document_of(taken)
    assert stored.shown_error_message == stored.error_message == f"{MARKER} {'x' * 2_000}"[:1_000]
    path = f"/api/v1/datasets/{dataset.pk}/documents/"
    (shown,) = acme_api.get(path).json()["results"]
    assert shown["error"]["message"].startswith(MARKER)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    (shown,) = acme_api.get(path).json()["results"]
    assert shown["error"]["message"] == NOT_READABLE
